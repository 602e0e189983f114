/* changes.c - what an overlay's upper directory changes, as `docker diff` tells it. Owner: archive.
 *
 * Each directory is opened once on both sides, listed and compared as a whole;
 * only the findings are kept while its subdirectories are walked. So depth costs
 * neither fds nor stack.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "archive/archive.h"
#include "archive/xattr.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

#define DEPTH_MAX 2048

enum finding { NOTHING, CHANGED, ADDED, GONE, SAME_DIRECTORY, CHANGED_DIRECTORY, ADDED_DIRECTORY };

struct found {
    char *name;
    enum finding finding;
};

struct level {
    struct level *up;
    char *path;    /* "" for the root, else with a slash before */
    bool existed;  /* in the image */
    bool told;
    struct found *found;
    size_t count, next;
    unsigned depth;
};

struct comparison_walk {
    int upper_fd, lower_fd;
    archive_change_fn *fn;
    void *user;
    struct error *err;
    struct level *top;
};

static void level_leave(struct comparison_walk *walk)
{
    struct level *level = walk->top;

    walk->top = level->up;
    for (size_t i = 0; i < level->count; i++)
        free(level->found[i].name);
    free(level->found);
    free(level->path);
    free(level);
}

static void walk_clear(struct comparison_walk *walk)
{
    while (walk->top)
        level_leave(walk);
}

static int tell(struct comparison_walk *walk, const char *path, enum archive_change kind)
{
    int r = walk->fn(walk->user, path, kind);

    return r < 0 ? error_errno(walk->err, r, "cannot report a change") : r;
}

/* A directory in which something came or went is changed itself. */
static int tell_level(struct comparison_walk *walk, struct level *level)
{
    if (!level->up || level->told) /* the root is never listed */
        return 0;
    level->told = true;
    return tell(walk, level->path, level->existed ? ARCHIVE_MODIFIED : ARCHIVE_ADDED);
}

static int open_below(int root, const char *path)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, root, *path ? path + 1 : ".", &how, sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

static bool same_directory(const struct stat *a, const struct stat *b)
{
    return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static enum finding look(int upper, int lower, const char *name)
{
    struct stat up, low;
    bool existed = lower >= 0 && fstatat(lower, name, &low, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0;

    if (fstatat(upper, name, &up, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 ||
        (S_ISCHR(up.st_mode) && up.st_rdev == 0))
        return existed ? GONE : NOTHING;
    if (!S_ISDIR(up.st_mode))
        return existed ? CHANGED : ADDED;
    if (!existed)
        return ADDED_DIRECTORY;
    return S_ISDIR(low.st_mode) && same_directory(&up, &low) ? SAME_DIRECTORY : CHANGED_DIRECTORY;
}

static int list(struct level *level, int fd)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    struct dirent *entry;

    if (!dir) {
        int r = -errno;
        cleanup_close(&own);
        return r;
    }
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if ((level->count & (level->count - 1)) == 0)
            level->found = mem_grow(level->found, level->count ? 2 * level->count : 1, sizeof(*level->found));
        level->found[level->count++] = (struct found){.name = mem_strdup(entry->d_name)};
    }
    closedir(dir);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static int level_enter(struct comparison_walk *walk, const char *path, bool existed, bool told)
{
    CLEANUP_CLOSE int upper = open_below(walk->upper_fd, path);
    CLEANUP_CLOSE int lower = existed ? open_below(walk->lower_fd, path) : -EBADF;
    struct level *level = mem_new(struct level);

    level->up = walk->top;
    level->path = mem_strdup(path);
    level->existed = existed;
    level->told = told;
    level->depth = level->up ? level->up->depth + 1 : 0;
    walk->top = level;
    if (upper < 0 && level->up)
        return 0; /* gone meanwhile */
    if (level->depth > DEPTH_MAX)
        return error_set(walk->err, ENAMETOOLONG, "directories are too deep to compare");
    int r = upper < 0 ? upper : list(level, upper);
    /* Opaque: what the image has there and this has not is gone. */
    if (r == 0 && lower >= 0 && xattr_is_opaque(upper, false))
        r = list(level, lower);
    if (r < 0)
        return error_set(walk->err, EIO, "cannot list a container's changes");
    if (level->count > 1)
        qsort(level->found, level->count, sizeof(*level->found), by_name);
    for (size_t i = 0; i < level->count; i++)
        if (i == 0 || strcmp(level->found[i].name, level->found[i - 1].name) != 0)
            level->found[i].finding = look(upper, lower, level->found[i].name);
    return 0;
}

static int tell_found(struct comparison_walk *walk, const struct found *found)
{
    static const struct {
        bool told;         /* worth a line of its own */
        enum archive_change kind;
        bool moves_parent; /* the directory around it changed by it */
        bool directory, existed;
    } meaning[] = {
        [CHANGED] = {true, ARCHIVE_MODIFIED, false, false, true},
        [ADDED] = {true, ARCHIVE_ADDED, true, false, false},
        [GONE] = {true, ARCHIVE_DELETED, true, false, true},
        [SAME_DIRECTORY] = {false, ARCHIVE_MODIFIED, false, true, true},
        [CHANGED_DIRECTORY] = {true, ARCHIVE_MODIFIED, false, true, true},
        [ADDED_DIRECTORY] = {true, ARCHIVE_ADDED, true, true, false},
    };
    enum finding finding = found->finding;

    if (finding == NOTHING)
        return 0;
    CLEANUP_FREE char *path = mem_printf("%s/%s", walk->top->path, found->name);
    int r = meaning[finding].moves_parent ? tell_level(walk, walk->top) : 0;
    if (r == 0 && meaning[finding].told)
        r = tell(walk, path, meaning[finding].kind);
    if (r == 0 && meaning[finding].directory)
        r = level_enter(walk, path, meaning[finding].existed, meaning[finding].told);
    return r;
}

int archive_changes(int upper_fd, int lower_root_fd, archive_change_fn *fn, void *user, struct error *err)
{
    CLEANUP(walk_clear) struct comparison_walk walk = {upper_fd, lower_root_fd, fn, user, err, NULL};

    int r = level_enter(&walk, "", true, true);
    while (r == 0 && walk.top) {
        struct level *level = walk.top;

        if (level->next == level->count)
            level_leave(&walk);
        else
            r = tell_found(&walk, &level->found[level->next++]);
    }
    return r < 0 ? r : 0;
}
