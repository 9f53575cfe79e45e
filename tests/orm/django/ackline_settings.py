"""Settings of Django's own test suite: MariaDB at ACKLINE_DB_*, by PyMySQL."""

import os

import pymysql

# Django asks for a version of mysqlclient, whose place PyMySQL takes.
pymysql.version_info = (2, 2, 7, "final", 0)
pymysql.__version__ = "2.2.7"
pymysql.install_as_MySQLdb()


def database(name):
    return {
        "ENGINE": "django.db.backends.mysql",
        "HOST": os.environ["ACKLINE_DB_HOST"],
        "PORT": os.environ["ACKLINE_DB_PORT"],
        "USER": os.environ["ACKLINE_DB_USER"],
        "PASSWORD": os.environ["ACKLINE_DB_PASSWORD"],
        "NAME": name,
        "TEST": {"CHARSET": "utf8mb4"},
    }


DATABASES = {"default": database("django"), "other": database("django_other")}
SECRET_KEY = "of the tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "ackline_runner.Runner"
