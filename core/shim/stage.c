/* stage.c - staged templates, on the server's side: four files without a name, and for a
 * while the shim that fills them. Owner: shim. See client.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "isolation/hyperv/staged.h"
#include "launch/plan.h"
#include "shim/client_private.h"
#include "tabique/error.h"

#define BLOCK 512 /* of st_blocks */

struct shim_stage {
    atomic_uint references;
    int files[STAGED_FILES];
    pid_t pid;
    int pidfd; /* -EBADF: it has ended */
};

const int *shim__stage_fds(const struct shim_stage *stage)
{
    return stage->files;
}

static int make_files(struct shim_stage *stage, const struct plan *plan, const char *dir, struct error *err)
{
    CLEANUP_STR struct str encoded = STR_INIT;

    stage->files[STAGED_MEMORY] = memfd_create("tabique-staged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    stage->files[STAGED_STATE] = memfd_create("tabique-staged-state", MFD_CLOEXEC);
    stage->files[STAGED_DISK] = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    stage->files[STAGED_PLAN] = memfd_create("tabique-staged-plan", MFD_CLOEXEC);
    for (int i = 0; i < STAGED_FILES; i++)
        if (stage->files[i] < 0)
            return error_errno(err, errno, "cannot make a staged template's files");
    plan_encode(plan, &encoded);
    int r = fd_write_all(stage->files[STAGED_PLAN], encoded.data, encoded.length);
    return r < 0 ? error_errno(err, -r, "cannot write a staged template's plan") : 0;
}

int shim_stage_begin(const struct shim_spec *spec, const char *cgroup, const struct plan *plan, const char *dir,
                     struct shim_stage **ret, struct error *err)
{
    struct shim_stage *stage = mem_new(struct shim_stage);
    struct shim_spec with = *spec;
    int r;

    *stage = (struct shim_stage){.references = 1, .pid = -1, .pidfd = -EBADF};
    for (int i = 0; i < STAGED_FILES; i++)
        stage->files[i] = -EBADF;
    with.staged = stage;
    r = make_files(stage, plan, dir, err);
    if (r >= 0)
        r = shim__spawn_stage(&with, cgroup, &stage->pid, &stage->pidfd, err);
    if (r < 0) {
        shim_stage_put(stage);
        return r;
    }
    *ret = stage;
    return 0;
}

int shim_stage_fd(const struct shim_stage *stage)
{
    return stage->pidfd;
}

static int reap(struct shim_stage *stage)
{
    siginfo_t info = {0};

    (void)waitid(P_PIDFD, (id_t)stage->pidfd, &info, WEXITED);
    cleanup_close(&stage->pidfd);
    return info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : -EIO;
}

int shim_stage_end(struct shim_stage *stage, struct error *err)
{
    return reap(stage) < 0 ? error_set(err, EIO, "its shim did not make it") : 0;
}

struct shim_stage *shim_stage_get(struct shim_stage *stage)
{
    if (stage)
        atomic_fetch_add(&stage->references, 1);
    return stage;
}

void shim_stage_put(struct shim_stage *stage)
{
    if (!stage || atomic_fetch_sub(&stage->references, 1) > 1)
        return;
    if (stage->pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, stage->pidfd, SIGKILL, NULL, 0);
        (void)reap(stage);
    }
    for (int i = 0; i < STAGED_FILES; i++)
        cleanup_close(&stage->files[i]);
    free(stage);
}

uint64_t shim_stage_bytes(const struct shim_stage *stage)
{
    struct stat plan, memory;

    if (fstat(stage->files[STAGED_PLAN], &plan) < 0 || plan.st_size == 0 || fstat(stage->files[STAGED_MEMORY], &memory) < 0)
        return 0;
    return (uint64_t)memory.st_blocks * BLOCK;
}
