/* worker_root.c - the worker's root: QEMU, the libraries and modules it loads, the
 * firmware it cannot do without, and nothing else.
 *
 * A copy, not a bind of the host's /usr: a guest that took over its worker should
 * find nothing to read. It is made once per version of QEMU and shared, read-only,
 * by all workers, so the libraries stand in memory once. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "isolation/hyperv/worker.h"
#include "tabique/error.h"

/* Found in the first folder that has them. Missing ones are let pass: which of
 * them a QEMU wants differs by version, and it says so itself when one is missing. */
static const char *const firmware_dirs[] = {"/usr/share/qemu", "/usr/share/seabios"};
static const char *const firmware[] = {"bios-microvm.bin", "qboot.rom", "kvmvapic.bin", "linuxboot.bin",
                                       "linuxboot_dma.bin", "pvh.bin"};

static int copy_file(const char *from, const char *root, const char *to, mode_t mode, struct error *err)
{
    CLEANUP_FREE char *target = path_join(root, to);
    CLEANUP_FREE char *dir = path_dir(target);
    CLEANUP_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int out = -EBADF;
    struct stat st;

    if (in < 0 || fstat(in, &st) < 0)
        return error_errno(err, errno, "cannot read %s", from);
    if (path_mkdirs(dir, 0755) < 0 || (out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)) < 0) {
        if (errno == EEXIST)
            return 0;
        return error_errno(err, errno, "cannot make %s", target);
    }
    int r = fd_copy(in, out);
    if (r < 0)
        return error_errno(err, -r, "cannot copy %s", from);
    fchmod(out, mode);
    return 0;
}

/* What the dynamic loader would load, by asking it: "name => /path (address)" and
 * "/path (address)" for the loader itself. */
static int copy_libraries(const char *program, const char *root, struct error *err)
{
    CLEANUP_FREE char *output = NULL;
    const char *argv[] = {"ldd", program, NULL};
    const char *envp[] = {"LD_TRACE_LOADED_OBJECTS=1", "PATH=/usr/bin:/bin", NULL};
    const struct child_spec spec = {.path = program, .argv = (char *const *)(const void *)argv, .envp = (char *const *)(const void *)envp};
    CLEANUP_STRV char **lines = NULL;
    int r;

    /* A library is traced through the loader of the program it belongs to. */
    if (strstr(program, ".so")) {
        const char *loader_argv[] = {"ldd", "--list", program, NULL};
        const struct child_spec loader = {.path = "/lib64/ld-linux-x86-64.so.2", .argv = (char *const *)(const void *)loader_argv, .envp = (char *const *)(const void *)envp};
        r = child_run(&loader, 10000, 1 << 20, &output, err);
    } else {
        r = child_run(&spec, 10000, 1 << 20, &output, err);
    }
    if (r != 0)
        return r < 0 ? r : error_set(err, EIO, "cannot list the libraries of %s", program);
    lines = strv_split(output, '\n');
    for (char **line = lines; line && *line; line++) {
        char *path = strchr(*line, '/');
        char *end = path ? strstr(path, " (") : NULL;
        if (!end)
            continue;
        *end = '\0';
        r = copy_file(path, root, path, 0755, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Debian's QEMU loads its accelerators as modules from the folder it was built
 * with. */
static int copy_modules(const char *root, struct error *err)
{
    static const char *const dirs[] = {"/usr/lib/x86_64-linux-gnu/qemu", "/usr/lib/aarch64-linux-gnu/qemu", "/usr/lib/qemu"};
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        DIR *dir = opendir(dirs[i]);
        struct dirent *entry;

        while (dir && r >= 0 && (entry = readdir(dir))) {
            CLEANUP_FREE char *path = path_join(dirs[i], entry->d_name);
            if (!str_starts(entry->d_name, "accel-") || !str_ends(entry->d_name, ".so"))
                continue;
            r = copy_file(path, root, path, 0755, err);
            if (r >= 0)
                r = copy_libraries(path, root, err);
        }
        if (dir)
            closedir(dir);
    }
    return r;
}

int worker_root_make(const char *qemu, const char *root, struct error *err)
{
    static const char *const dirs[] = {"proc", "dev", "tmp", "boot"};
    int r;

    r = path_remove_tree(AT_FDCWD, root);
    if (r >= 0)
        r = path_mkdirs(root, 0755);
    if (r < 0)
        return error_errno(err, -r, "cannot make %s", root);
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        CLEANUP_FREE char *path = path_join(root, dirs[i]);
        mkdir(path, 0755);
    }
    r = copy_file(qemu, root, "/usr/bin/qemu", 0755, err);
    if (r >= 0)
        r = copy_libraries(qemu, root, err);
    if (r >= 0)
        r = copy_modules(root, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(firmware); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(firmware_dirs); j++) {
            CLEANUP_FREE char *path = path_join(firmware_dirs[j], firmware[i]);
            CLEANUP_FREE char *to = path_join("/usr/share/qemu", firmware[i]);
            if (access(path, R_OK) == 0)
                r = copy_file(path, root, to, 0644, err);
        }
    }
    return r;
}
