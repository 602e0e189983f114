/* spool.c - an incoming archive, member by member, in files of our own. Owner: image.
 *
 * The stream cannot be rewound and its manifest usually comes last, so everything
 * is kept until then. Members are numbered files: their names stay strings and
 * never reach the file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/store.h"

#define MEMBERS_MAX 100000u
#define LINKS_MAX 8

void image__spool_freep(struct image_spool **spoolp)
{
    struct image_spool *spool = *spoolp;
    struct image_member *member, *next;

    if (!spool)
        return;
    HASH_ITER(hh, spool->members, member, next) {
        HASH_DEL(spool->members, member);
        free(member->path);
        free(member->target);
        free(member);
    }
    cleanup_close(&spool->fd);
    image__tmp_remove(spool->store, spool->name);
    free(spool->name);
    free(spool);
    *spoolp = NULL;
}

/* Lexical, as seen from the archive's root, which ".." does not leave. */
static char *clean(const char *path)
{
    CLEANUP_FREE char *rooted = mem_printf("/%s", path);
    CLEANUP_FREE char *cleaned = path_clean(rooted);

    return mem_strdup(cleaned + 1);
}

static void member_name(unsigned number, char out[16])
{
    snprintf(out, 16, "%u", number);
}

static int write_member(struct image_spool *spool, struct tar_reader *tar, const struct tar_entry *entry,
                        unsigned number, struct error *err)
{
    char file[16];
    const void *data;
    size_t length;
    uint64_t offset;

    member_name(number, file);
    CLEANUP_CLOSE int fd = openat(spool->fd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return image__failed(err, -errno, "cannot keep an archive's member");
    int r;
    while ((r = tar_data(tar, &data, &length, &offset, err)) > 0) {
        if (entry->sparse && lseek(fd, (off_t)offset, SEEK_SET) < 0)
            return image__failed(err, -errno, "cannot keep an archive's member");
        r = fd_write_all(fd, data, length);
        if (r < 0)
            return image__failed(err, r, "cannot keep an archive's member");
    }
    if (r == 0 && entry->sparse && ftruncate(fd, (off_t)entry->size) < 0)
        return image__failed(err, -errno, "cannot keep an archive's member");
    return r;
}

static int add_member(struct image_spool *spool, struct tar_reader *tar, const struct tar_entry *entry,
                      struct error *err)
{
    struct image_member *member;
    unsigned number = HASH_COUNT(spool->members) + 1;

    if (entry->type != TAR_FILE && entry->type != TAR_SYMLINK && entry->type != TAR_HARD_LINK)
        return 0; /* directories say nothing; devices have no business here */
    if (number > MEMBERS_MAX)
        return error_set(err, EFBIG, "the image archive has more than %u members", MEMBERS_MAX);
    if (strlen(entry->path) >= PATH_MAX || entry->size > spool->store->limits.max_unpacked_bytes)
        return error_set(err, EFBIG, "the image archive has a member that is too large");
    CLEANUP_FREE char *path = clean(entry->path);
    HASH_FIND_STR(spool->members, path, member);
    if (member)
        return error_set(err, EINVAL, "the image archive has the member \"%s\" twice", path);
    if (entry->type == TAR_FILE) {
        int r = write_member(spool, tar, entry, number, err);
        if (r < 0)
            return r;
    }
    member = mem_new(struct image_member);
    member->number = number;
    member->size = entry->size;
    if (entry->type == TAR_HARD_LINK) {
        member->target = clean(entry->link);
    } else if (entry->type == TAR_SYMLINK) {
        /* Docker before 25 wrote shared layers as links to "../ID/layer.tar". */
        CLEANUP_FREE char *directory = path_dir(path);
        CLEANUP_FREE char *target = entry->link[0] == '/' ? mem_strdup(entry->link) : path_join(directory, entry->link);
        member->target = clean(target);
    }
    member->path = TAKE_PTR(path);
    HASH_ADD_KEYPTR(hh, spool->members, member->path, strlen(member->path), member);
    return 0;
}

int image__spool(struct image_store *store, archive_read_fn *read, void *user, struct image_spool **ret,
                 struct error *err)
{
    CLEANUP(image__spool_freep) struct image_spool *spool = mem_new(struct image_spool);
    CLEANUP_STREAM struct archive_stream *stream = NULL;
    CLEANUP(tar_reader_freep) struct tar_reader *tar = NULL;
    const struct tar_entry *entry;
    struct archive_limits limits = {store->limits.max_unpacked_bytes, store->limits.max_entries, store->limits.max_ratio};

    spool->store = store;
    spool->fd = -EBADF;
    int r = image__tmp_make(store, &spool->name, &spool->fd, err);
    if (r == 0)
        r = archive_stream_open(read, user, &limits, false, &stream, err);
    if (r < 0)
        return r;
    tar = tar_reader_new(stream);
    while ((r = tar_next(tar, &entry, err)) > 0) {
        r = add_member(spool, tar, entry, err);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = tar_drain(tar, err);
    if (r < 0)
        return r;
    if (!tar_had_end(tar))
        return error_set(err, EINVAL, "the image archive is cut short: its end is missing");
    if (!spool->members)
        return error_set(err, EINVAL, "the image archive is empty");
    *ret = TAKE_PTR(spool);
    return 0;
}

const struct image_member *image__spool_find(const struct image_spool *spool, const char *path)
{
    CLEANUP_FREE char *name = clean(path);
    struct image_member *member;

    for (int links = 0; links < LINKS_MAX; links++) {
        HASH_FIND_STR(spool->members, name, member);
        if (!member || !member->target)
            return member;
        free(name);
        name = mem_strdup(member->target);
    }
    return NULL;
}

int image__spool_open(const struct image_spool *spool, const char *path, int *ret_fd, uint64_t *ret_size,
                      struct error *err)
{
    const struct image_member *member = image__spool_find(spool, path);
    char file[16];

    if (!member)
        return error_set(err, EINVAL, "the image archive names \"%s\", which is not in it", path);
    member_name(member->number, file);
    int fd = openat(spool->fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return image__failed(err, -errno, "cannot open an archive's member");
    *ret_fd = fd;
    if (ret_size)
        *ret_size = member->size;
    return 0;
}

int image__spool_text(const struct image_spool *spool, const char *path, char **ret, size_t *ret_length,
                      struct error *err)
{
    const struct image_member *member = image__spool_find(spool, path);
    char file[16];

    if (!member)
        return error_set(err, EINVAL, "the image archive names \"%s\", which is not in it", path);
    if (member->size > IMAGE_CONFIG_MAX)
        return error_set(err, EFBIG, "the image archive's \"%s\" is too large", path);
    member_name(member->number, file);
    int r = file_read(spool->fd, file, IMAGE_CONFIG_MAX, ret, ret_length);
    return r < 0 ? image__failed(err, r, "cannot read an archive's member") : 0;
}
