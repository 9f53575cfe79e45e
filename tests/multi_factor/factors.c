/*
 * Authentication plugins for second and third factors, since what MySQL ships as free software is for
 * first ones only. Loaded into a real server, they make it speak its own packets around them.
 *
 *   factor_clear   asks clients for the password itself; right is "clear"
 *   factor_sha2    sends a scramble as caching_sha2_password does, and takes any answer to it
 *
 * The structures are those of the server's plugin.h and plugin_auth.h, plugin interface 1.11,
 * authentication interface 2.1.
 */

struct vio {
    int (*read_packet)(struct vio *, unsigned char **packet);
    int (*write_packet)(struct vio *, const unsigned char *packet, int length);
};

struct authentication {
    int interface_version;
    const char *client_plugin;
    int (*authenticate)(struct vio *, void *account);
    int (*generate)(char *out, unsigned *out_length, const char *in, unsigned in_length);
    int (*validate)(char *const in, unsigned length);
    int (*set_salt)(const char *password, unsigned length, unsigned char *salt, unsigned char *salt_length);
    unsigned long flags;
    int (*compare)(const char *hash, unsigned long hash_length, const char *text, unsigned long length,
                   int *is_error);
};

struct plugin {
    int type;
    void *information;
    const char *name, *author, *description;
    int license;
    int (*init)(void *), (*check_uninstall)(void *), (*deinit)(void *);
    unsigned version;
    void *status_variables, *system_variables, *reserved;
    unsigned long flags;
};

enum { OK = -1, REFUSED = 0, AUTHENTICATION = 7, GPL = 1 };

static int clear(struct vio *vio, void *account) {
    static const char right[] = "clear";
    unsigned char *answer;
    int length = vio->read_packet(vio, &answer);
    (void)account;
    if (length != sizeof right)
        return REFUSED;
    for (int at = 0; at < length; at++)
        if (answer[at] != (unsigned char)right[at])
            return REFUSED;
    return OK;
}

static int sha2(struct vio *vio, void *account) {
    static const unsigned char scramble[] = "abcdefghijklmnopqrst", fast = 3;
    unsigned char *answer;
    (void)account;
    if (vio->write_packet(vio, scramble, sizeof scramble) || vio->read_packet(vio, &answer) != 32)
        return REFUSED;
    return vio->write_packet(vio, &fast, 1) ? REFUSED : OK;
}

static int generate(char *out, unsigned *out_length, const char *in, unsigned in_length) {
    if (in_length > *out_length)
        return 1;
    for (unsigned at = 0; at < in_length; at++)
        out[at] = in[at];
    *out_length = in_length;
    return 0;
}

static int validate(char *const in, unsigned length) {
    (void)in, (void)length;
    return 0;
}

static int set_salt(const char *password, unsigned length, unsigned char *salt, unsigned char *salt_length) {
    (void)password, (void)length, (void)salt;
    *salt_length = 0;
    return 0;
}

static struct authentication clear_information = {
    0x0201, "mysql_clear_password", clear, generate, validate, set_salt, 0, 0,
};
static struct authentication sha2_information = {
    0x0201, "caching_sha2_password", sha2, generate, validate, set_salt, 0, 0,
};

#define PLUGIN(name, information)                                                                             \
    { AUTHENTICATION, &information, name, "Ackline", "For tests", GPL, 0, 0, 0, 0x0100, 0, 0, 0, 0 }

int _mysql_plugin_interface_version_ = 0x010b;
int _mysql_sizeof_struct_st_plugin_ = sizeof(struct plugin);
struct plugin _mysql_plugin_declarations_[] = {
    PLUGIN("factor_clear", clear_information),
    PLUGIN("factor_sha2", sha2_information),
    {0},
};
