/* cgroup_device.c - cgroup v2's device control: a plan's rules as a small BPF
 * program of type BPF_PROG_TYPE_CGROUP_DEVICE. Owner: launch.
 *
 * The last rule that matches decides, as in v1, so the program tests them last
 * to first and returns at the first match; nothing matched is a no. An allow
 * rule matches when it covers all that is asked for, a deny rule when it touches
 * any of it.
 * Source: Documentation/bpf, bpf(2), include/uapi/linux/bpf.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "launch/cgroup_private.h"
#include "tabique/error.h"

struct program {
    struct bpf_insn *code;
    size_t count;
};

static void emit(struct program *p, uint8_t op, uint8_t dst, uint8_t src, int16_t offset, int32_t value)
{
    if (p->count % 64 == 0)
        p->code = mem_grow(p->code, p->count + 64, sizeof(*p->code));
    p->code[p->count++] = (struct bpf_insn){
        .code = op, .dst_reg = dst & 15, .src_reg = src & 15, .off = offset, .imm = value};
}

#define LOAD(dst, field) \
    emit(p, BPF_LDX | BPF_MEM | BPF_W, dst, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, field), 0)

static int access_bits(const char *access)
{
    int bits = 0;

    for (; *access; access++)
        bits |= *access == 'r' ? BPF_DEVCG_ACC_READ
                : *access == 'w' ? BPF_DEVCG_ACC_WRITE
                : *access == 'm' ? BPF_DEVCG_ACC_MKNOD
                                 : 0;
    return bits;
}

/* Registers: R2 type, R3 access, R4 major, R5 minor. Each failing test jumps
 * behind the rule; the distances are filled in at its end. */
static void emit_rule(struct program *p, const struct plan_device_rule *rule)
{
    size_t jumps[4], jump_count = 0;
    int bits = access_bits(rule->access);

    if (rule->type != 'a') {
        jumps[jump_count++] = p->count;
        emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 0, rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
        if (bits != (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD)) {
            emit(p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_0, BPF_REG_3, 0, 0);
            emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_0, 0, 0, rule->allow ? ~bits & 7 : bits);
            jumps[jump_count++] = p->count;
            emit(p, BPF_JMP | (rule->allow ? BPF_JNE : BPF_JEQ) | BPF_K, BPF_REG_0, 0, 0, 0);
        }
        if (rule->major >= 0) {
            jumps[jump_count++] = p->count;
            emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0, 0, (int32_t)rule->major);
        }
        if (rule->minor >= 0) {
            jumps[jump_count++] = p->count;
            emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_5, 0, 0, (int32_t)rule->minor);
        }
    }
    emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, rule->allow);
    emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    for (size_t i = 0; i < jump_count; i++)
        p->code[jumps[i]].off = (int16_t)(p->count - jumps[i] - 1);
}

static int load(struct program *p)
{
    union bpf_attr attr = {0};
    int fd;

    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uint64_t)(uintptr_t)p->code;
    attr.insn_cnt = (uint32_t)p->count;
    attr.license = (uint64_t)(uintptr_t)"GPL";
    fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
    return fd < 0 ? -errno : fd;
}

int cgroup__attach_devices(const char *path, const struct plan_device_rule *rules, size_t count,
                           struct error *err)
{
    const struct cgroup_hierarchy *h = cgroup__unified();
    CLEANUP_FREE char *dir = h ? cgroup__file(h, path, NULL) : NULL;
    CLEANUP_CLOSE int cgroup = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
    CLEANUP_CLOSE int program = -EBADF;
    struct program built = {0}, *p = &built;
    union bpf_attr attr = {0};
    bool decided = false;

    if (cgroup < 0)
        return error_errno(err, EIO, "cannot open cgroup %s", path);
    LOAD(BPF_REG_2, access_type);
    emit(p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
    emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
    emit(p, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
    LOAD(BPF_REG_4, major);
    LOAD(BPF_REG_5, minor);
    for (size_t i = count; i-- > 0 && !decided;) {
        emit_rule(p, &rules[i]);
        /* What stands before it is overruled, and the verifier refuses dead code. */
        decided = rules[i].type == 'a';
    }
    if (!decided) {
        emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
        emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }
    program = load(p);
    free(built.code);
    if (program < 0)
        return error_errno(err, program, "cannot load the device program");
    attr.target_fd = (uint32_t)cgroup;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0)
        return error_errno(err, errno, "cannot attach the device program to %s", path);
    return 0;
}
