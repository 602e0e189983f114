/* api_routes.h - handlers of routes_api.c's table in files of their own, and what
 * they share. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct process_list;
struct request;

/* api_processes.c */
int api_host_processes(struct request *request);
int api_container_processes(struct request *request);
int api_comparison(struct request *request);
int api_signal(struct request *request);
int api_owner(struct request *request);

/* containers_files.c */
int api_container_files(struct request *request);

/* api_history.c */
int api_events(struct request *request);
int api_samples(struct request *request);
int api_lives(struct request *request);
int api_marks(struct request *request);

/* Columns of a process in CSV, NULL-terminated. */
extern const char *const api_process_columns[];

/* A signal by name ("TERM", "SIGTERM", any case) or number; -EINVAL in Docker's words. */
int api_signal_number(const char *text, int *ret, struct error *err);

/* What a container was or is, for history that outlives it: {id} as a container's
 * id or name, else (a removed one) 64 hex digits as they are. */
struct api_subject {
    char id[65];
    bool own_kernel; /* its processes are stored under its own id, not the host's */
};
int api_subject(struct request *request, const char *ref, struct api_subject *ret, struct error *err);
