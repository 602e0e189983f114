/* launch_exec.c - finding the program, as the container's user, in the
 * container's root. Owner: launch.
 *
 * The texts are runc's, which Docker's clients and their users know.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/launch_private.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *get(char *const *env, const char *name)
{
    size_t length = strlen(name);
    const char *value = NULL;

    for (; env && *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            value = *env + length + 1;
    return value;
}

char **launch__environment(struct launch_child *c)
{
    char **env = strv_dup(c->process->env);
    const char *home = get(env, "HOME");

    if (!env)
        env = mem_array(1, sizeof(*env));
    if (!get(env, "PATH"))
        strv_push(&env, "PATH=" DEFAULT_PATH);
    if (!home || !*home) {
        for (char **entry = env; *entry; entry++) {
            if (str_equal(*entry, "HOME=")) {
                free(*entry);
                *entry = mem_printf("HOME=%s", c->user.home);
                return env;
            }
        }
        strv_take(&env, mem_printf("HOME=%s", c->user.home));
    }
    return env;
}

/* 0 where it can be executed by us as we are now. */
static int check(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int launch__find_program(struct launch_child *c, char *const *env, char **ret_path, struct error *err)
{
    const char *name = c->process->argv && c->process->argv[0] ? c->process->argv[0] : "";
    const char *path = get(env, "PATH");
    CLEANUP_STRV char **dirs = NULL;
    int r;

    c->exec_failed = true;
    if (!*name)
        return error_set(err, ENOENT, "unable to start container process: no command specified");
    if (strchr(name, '/')) {
        r = check(name);
        if (r == -ENOENT || r == -ENOTDIR)
            return error_set(err, ENOENT, "unable to start container process: exec: \"%s\": stat %s: %s", name, name,
                             r == -ENOENT ? "no such file or directory" : "not a directory");
        if (r == -EISDIR)
            return error_set(err, EACCES, "unable to start container process: exec: \"%s\": is a directory", name);
        if (r < 0)
            return error_set(err, EACCES, "unable to start container process: exec: \"%s\": permission denied", name);
        c->exec_failed = false;
        *ret_path = mem_strdup(name);
        return 0;
    }
    dirs = path ? strv_split(path, ':') : NULL;
    for (char **dir = dirs; dir && *dir; dir++) {
        CLEANUP_FREE char *candidate = NULL;

        if ((*dir)[0] != '/') /* the working directory is not searched */
            continue;
        candidate = path_join(*dir, name);
        if (check(candidate) == 0) {
            c->exec_failed = false;
            *ret_path = TAKE_PTR(candidate);
            return 0;
        }
    }
    return error_set(err, ENOENT, "unable to start container process: exec: \"%s\": executable file not found in $PATH", name);
}
