/* system_routes.h - handlers of routes_system.c's table in files of their own. */
#pragma once

struct request;

int system_info(struct request *request);    /* system_info.c */
int system_version(struct request *request);
int system_events(struct request *request);  /* system_events.c */
int system_metrics(struct request *request); /* system_metrics.c */
