/* cgroup_private.h - the mount table and small file access, shared by cgroup*.c. */
#pragma once

#include "launch/cgroup.h"

#define CGROUP_MAX_HIERARCHIES 16
#define CGROUP_FILE_MAX (1u << 20)

struct cgroup_hierarchy {
    char *mount;          /* mount point */
    char *options;        /* v1: "cpu,cpuacct"; v2: "" */
    unsigned controllers; /* enum cgroup_controller of ours */
    bool unified;
    bool cpuacct;
};

size_t cgroup__hierarchies(const struct cgroup_hierarchy **ret);
const struct cgroup_hierarchy *cgroup__find(unsigned controller); /* NULL: nobody has it */
const struct cgroup_hierarchy *cgroup__unified(void);

/* "<mount>/<path>/<file>"; file may be NULL. */
char *cgroup__file(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file);
int cgroup__write(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file,
                  const char *text);
int cgroup__write_i64(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file,
                      int64_t value);
/* free() it. */
int cgroup__read(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file,
                 char **ret);
uint64_t cgroup__read_u64(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file);
/* Value behind `key` in a flat keyed file ("key value" lines). */
uint64_t cgroup__key_u64(const char *text, const char *key);
int cgroup__check_path(const char *path);

/* cgroup_device.c: the device program of v2. */
int cgroup__attach_devices(const char *path, const struct plan_device_rule *rules, size_t count,
                           struct error *err);
