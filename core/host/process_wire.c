/* process_wire.c - see process_wire.h. Owner: host. */
#include "host/process_wire.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum { TEXT_USER = 40, TEXT_NAME, TEXT_COMMAND, TEXT_CGROUP, TEXT_CONTAINER };

#define PROCESS_COMMAND_MAX 8192

/* Tag = index + 1: append only. */
#define NUMBER(member) {offsetof(struct process, member), sizeof(((struct process *)NULL)->member)}
static const struct {
    size_t offset, width;
} numbers[] = {
    NUMBER(pid), NUMBER(ppid), NUMBER(inner_pid), NUMBER(inner_ppid), NUMBER(start_ticks), NUMBER(started_ns),
    NUMBER(uid), NUMBER(state), NUMBER(threads), NUMBER(tty_nr), NUMBER(cpu_ns), NUMBER(memory_bytes),
    NUMBER(virtual_bytes), NUMBER(pss_bytes), NUMBER(io_read_bytes), NUMBER(io_write_bytes), NUMBER(pid_namespace),
    NUMBER(worker), NUMBER(kernel_thread),
};
#define TAG_CPU_MILLI 20 /* cpu_percent in thousandths */

static uint64_t load(const void *at, size_t width)
{
    switch (width) {
    case 1: return *(const uint8_t *)at;
    case 4: return (uint64_t)(int64_t) * (const int32_t *)at;
    default: return *(const uint64_t *)at;
    }
}

void process_wire_put(struct str *out, uint16_t tag, const struct process *process)
{
    size_t mark = wire_begin(out, tag);

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uint64_t value = load((const char *)process + numbers[i].offset, numbers[i].width);

        if (value)
            wire_put_u64(out, (uint16_t)(i + 1), value);
    }
    if (process->cpu_percent > 0)
        wire_put_u64(out, TAG_CPU_MILLI, (uint64_t)(process->cpu_percent * 1000 + 0.5));
    wire_put_string(out, TEXT_USER, process->user);
    wire_put_string(out, TEXT_NAME, process->name);
    wire_put_string(out, TEXT_COMMAND, process->command);
    wire_put_string(out, TEXT_CGROUP, process->cgroup);
    if (process->container_id[0])
        wire_put_string(out, TEXT_CONTAINER, process->container_id);
    wire_end(out, mark);
}

void process_wire_put_list(struct str *out, uint16_t tag, const struct process_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        process_wire_put(out, tag, &list->items[i]);
}

static bool store(void *at, size_t width, uint64_t value)
{
    int64_t as_signed = (int64_t)value;

    switch (width) {
    case 1: *(uint8_t *)at = (uint8_t)value; return value <= 0x7f;
    case 4:
        *(uint32_t *)at = (uint32_t)value;
        /* uid_t is unsigned, the others signed: both are accepted for both */
        return as_signed >= INT32_MIN && as_signed <= (int64_t)UINT32_MAX;
    default: *(uint64_t *)at = value; return true;
    }
}

static char *text(struct wire_reader *reader, const struct wire_field *field, size_t limit)
{
    char *copy = wire_string(reader, field);

    if (copy) {
        copy[str_cut_utf8(copy, limit)] = '\0';
        str_make_printable(copy);
    }
    return copy;
}

static bool get_text(struct wire_reader *reader, const struct wire_field *field, struct process *p)
{
    CLEANUP_FREE char *value = text(reader, field, field->tag == TEXT_COMMAND ? PROCESS_COMMAND_MAX : 255);

    if (!value)
        return false;
    switch (field->tag) {
    case TEXT_USER:
        free(p->user);
        p->user = TAKE_PTR(value);
        break;
    case TEXT_COMMAND:
        free(p->command);
        p->command = TAKE_PTR(value);
        break;
    case TEXT_CGROUP:
        free(p->cgroup);
        p->cgroup = TAKE_PTR(value);
        break;
    case TEXT_NAME:
        value[str_cut_utf8(value, sizeof(p->name) - 1)] = '\0';
        memset(p->name, 0, sizeof(p->name));
        memcpy(p->name, value, strlen(value));
        break;
    case TEXT_CONTAINER:
        if (strlen(value) >= sizeof(p->container_id))
            return false;
        memset(p->container_id, 0, sizeof(p->container_id));
        memcpy(p->container_id, value, strlen(value));
        break;
    default: break;
    }
    return true;
}

int process_wire_get(const struct wire_field *field, struct process *ret)
{
    struct process p = {0};
    struct wire_reader reader;
    struct wire_field inner;
    bool good = true;

    wire_nested(field, &reader);
    while (good && wire_next(&reader, &inner)) {
        if (inner.tag >= 1 && inner.tag <= ARRAY_SIZE(numbers)) {
            size_t i = inner.tag - 1u;

            good = store((char *)&p + numbers[i].offset, numbers[i].width, wire_u64(&reader, &inner));
        } else if (inner.tag == TAG_CPU_MILLI) {
            p.cpu_percent = (double)(wire_u64(&reader, &inner) & 0xffffffff) / 1000;
        } else if (inner.tag >= TEXT_USER && inner.tag <= TEXT_CONTAINER) {
            good = get_text(&reader, &inner, &p);
        }
    }
    if (!good || !wire_ok(&reader) || p.pid <= 0) {
        process_clear(&p);
        return -EBADMSG;
    }
    /* A byte that says neither 0 nor 1 is no bool. */
    p.worker = *(const uint8_t *)&p.worker != 0;
    p.kernel_thread = *(const uint8_t *)&p.kernel_thread != 0;
    if (!p.user)
        p.user = mem_printf("%u", p.uid);
    if (!p.command)
        p.command = mem_strdup(p.name);
    *ret = p;
    return 0;
}

int process_wire_get_list(const void *data, size_t length, uint16_t tag, struct process_list **ret)
{
    struct process_list *list = process_list_new(16);
    struct wire_reader reader;
    struct wire_field field;
    bool good = true;

    list->sampled_ns = clock_real_ns();
    wire_read(&reader, data, length);
    while (good && wire_next(&reader, &field)) {
        struct process p;

        if (field.tag != tag)
            continue;
        good = list->count < PROCESS_WIRE_MAX && process_wire_get(&field, &p) == 0;
        if (good)
            *process_list_add(list) = p;
    }
    if (!good || !wire_ok(&reader)) {
        process_list_unref(list);
        return -EBADMSG;
    }
    process_list_sort(list);
    *ret = list;
    return 0;
}
