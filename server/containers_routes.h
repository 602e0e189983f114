/* containers_routes.h - the handlers of routes_containers.c's table that live in
 * files of their own. Private to the routes. */
#pragma once

#include <stdint.h>

struct error;
struct request;

/* h and w of a resize, cut to what a terminal can be. */
int route_terminal_size(struct request *request, uint16_t *ret_rows, uint16_t *ret_cols, struct error *err);

int containers_list(struct request *request);        /* containers_list.c */
int containers_create(struct request *request);      /* containers_create.c */
int containers_logs(struct request *request);        /* containers_io.c */
int containers_attach(struct request *request);
int containers_stats(struct request *request);       /* containers_stats.c */
int containers_archive_head(struct request *request);/* containers_files.c */
int containers_archive_get(struct request *request);
int containers_archive_put(struct request *request);
int containers_export(struct request *request);
int containers_changes(struct request *request);
int containers_commit(struct request *request);
