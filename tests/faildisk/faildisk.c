/*
 * A disk that fails on demand, for tests: loaded with LD_PRELOAD into one process, it comes between
 * that process and libc for files below one directory, and leaves everything else alone.
 *
 *   FAILDISK_DIR  the directory whose files it acts on
 *   FAILDISK_CTL  one line: SEQUENCE MODE ARGUMENT FILTER, read at every call, replaced by rename.
 *                 A new SEQUENCE starts the mode anew. FILTER: acts only on names that begin so.
 *   FAILDISK_LOG  one line a call: WHAT OUTCOME INODE FD LENGTH NAME
 *
 * Modes:
 *   pass        0   nothing fails
 *   hang-sync   0   fsync and fdatasync wait until the mode changes
 *   fail-sync   N   the next N of them fail with EIO; -1: all
 *   nth-sync    N   N of them work, the one behind fails with EIO
 *   nth-write   N   N writes work, the one behind fails with ENOSPC
 *   enospc      N   writes beyond N further bytes fail with ENOSPC
 *   torn-write  K   the next write takes K bytes, then fails with EIO
 *   torn-kill   K   the next write takes K bytes, then the process is killed
 *
 * The log tells, for each inode, how much of it was synced last, so that a test can take away what a
 * power cut would take.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct order {
    long sequence;
    char mode[32];
    long argument;
    char filter[64];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* What is left of the present order's argument. */
static long counted_sequence = -1;
static long left;

/* The name below FAILDISK_DIR of a path, or NULL. */
static const char *below(const char *path)
{
    const char *dir = getenv("FAILDISK_DIR");
    size_t length = dir ? strlen(dir) : 0;
    if (length == 0 || strncmp(path, dir, length) != 0 || path[length] != '/')
        return NULL;
    return path + length + 1;
}

/* The same of an open file; directories are not acted on. */
static const char *name_of(int fd, char *path, struct stat *about)
{
    char link[64];
    if (fstat(fd, about) != 0 || !S_ISREG(about->st_mode))
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length <= 0)
        return NULL;
    path[length] = 0;
    return below(path);
}

/* System calls, so that nothing of ours comes back to us. */
static long slurp(const char *path, char *text, size_t size)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    long length = syscall(SYS_read, fd, text, size - 1);
    syscall(SYS_close, fd);
    if (length >= 0)
        text[length] = 0;
    return length;
}

/* The order that holds for `name`; the mode "pass" where there is none. */
static struct order order_for(const char *name)
{
    struct order order = {0, "pass", 0, ""};
    char text[256];
    const char *path = getenv("FAILDISK_CTL");
    if (path && slurp(path, text, sizeof text) > 0)
        sscanf(text, "%ld %31s %ld %63s", &order.sequence, order.mode, &order.argument, order.filter);
    if (strncmp(name, order.filter, strlen(order.filter)) != 0)
        strcpy(order.mode, "pass");
    return order;
}

static int is(const struct order *order, const char *mode)
{
    return strcmp(order->mode, mode) == 0;
}

/* Takes up to `wanted` from what the order allows; how much it got. */
static long take(const struct order *order, long wanted)
{
    pthread_mutex_lock(&lock);
    if (counted_sequence != order->sequence) {
        counted_sequence = order->sequence;
        left = order->argument;
    }
    long got = left < 0 || left > wanted ? wanted : left;
    if (left > 0)
        left -= got;
    pthread_mutex_unlock(&lock);
    return got;
}

/* Whether this is the one call behind as many as the order lets pass. */
static int strikes(const struct order *order)
{
    pthread_mutex_lock(&lock);
    if (counted_sequence != order->sequence) {
        counted_sequence = order->sequence;
        left = order->argument;
    }
    int now = left == 0;
    if (left >= 0)
        left--;
    pthread_mutex_unlock(&lock);
    return now;
}

static void say(const char *what, const char *outcome, const struct stat *about, int fd, const char *name)
{
    char line[PATH_MAX + 128];
    const char *path = getenv("FAILDISK_LOG");
    int out = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (out < 0)
        return;
    int length = snprintf(line, sizeof line, "%s %s %lu %d %lld %s\n", what, outcome,
                          (unsigned long)about->st_ino, fd, (long long)about->st_size, name);
    syscall(SYS_write, out, line, (size_t)length);
    syscall(SYS_close, out);
}

/* fsync and fdatasync */

static int synced(int fd, long number)
{
    char path[PATH_MAX + 1];
    struct stat about;
    const char *name = name_of(fd, path, &about);
    if (!name)
        return (int)syscall(number, fd);
    struct order order = order_for(name);
    if (is(&order, "hang-sync")) {
        say("sync", "hangs", &about, fd, name);
        do {
            usleep(5000);
            order = order_for(name);
        } while (is(&order, "hang-sync"));
    }
    if ((is(&order, "fail-sync") && take(&order, 1) > 0) || (is(&order, "nth-sync") && strikes(&order))) {
        say("sync", "EIO", &about, fd, name);
        errno = EIO;
        return -1;
    }
    int result = (int)syscall(number, fd);
    /* `about` is from before the call: what came in meanwhile does not count. */
    say("sync", result == 0 ? "ok" : "failed", &about, fd, name);
    return result;
}

int fsync(int fd)
{
    return synced(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return synced(fd, SYS_fdatasync);
}

/* write and pwrite: `offset` is -1 where the file's own counts */

static ssize_t plain(int fd, const void *bytes, size_t count, off_t offset)
{
    if (offset < 0)
        return syscall(SYS_write, fd, bytes, count);
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

static ssize_t written(int fd, const void *bytes, size_t count, off_t offset)
{
    char path[PATH_MAX + 1];
    struct stat about;
    const char *name = name_of(fd, path, &about);
    if (!name)
        return plain(fd, bytes, count, offset);
    struct order order = order_for(name);
    if (is(&order, "nth-write") && strikes(&order)) {
        say("write", "ENOSPC", &about, fd, name);
        errno = ENOSPC;
        return -1;
    }
    if (is(&order, "enospc")) {
        long room = take(&order, (long)count);
        if (room == 0) {
            say("write", "ENOSPC", &about, fd, name);
            errno = ENOSPC;
            return -1;
        }
        return plain(fd, bytes, (size_t)room, offset);
    }
    if (is(&order, "torn-write") || is(&order, "torn-kill")) {
        /* One write is torn: the first part counts as the order's one use. */
        pthread_mutex_lock(&lock);
        int first = counted_sequence != order.sequence;
        counted_sequence = order.sequence;
        pthread_mutex_unlock(&lock);
        if (first) {
            size_t part = order.argument < (long)count ? (size_t)order.argument : count - 1;
            plain(fd, bytes, part, offset);
            say("write", is(&order, "torn-kill") ? "killed" : "EIO", &about, fd, name);
            if (is(&order, "torn-kill"))
                raise(SIGKILL);
            errno = EIO;
            return -1;
        }
    }
    return plain(fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    return written(fd, bytes, count, -1);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return written(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    return written(fd, bytes, count, offset);
}

/* open: only to know of inodes that begin anew */

static int opened(int dir, const char *path, int flags, va_list rest)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
        mode = va_arg(rest, mode_t);
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    const char *name = below(path);
    struct stat about;
    if (fd >= 0 && name && (flags & O_ACCMODE) != O_RDONLY && fstat(fd, &about) == 0)
        say(flags & O_TRUNC ? "create" : "open", "ok", &about, fd, name);
    return fd;
}

#define OPENING(declaration, dir)                       \
    declaration                                         \
    {                                                   \
        va_list rest;                                   \
        va_start(rest, flags);                          \
        int fd = opened(dir, path, flags, rest);        \
        va_end(rest);                                   \
        return fd;                                      \
    }

OPENING(int open(const char *path, int flags, ...), AT_FDCWD)
OPENING(int open64(const char *path, int flags, ...), AT_FDCWD)
OPENING(int openat(int dir, const char *path, int flags, ...), dir)
OPENING(int openat64(int dir, const char *path, int flags, ...), dir)
