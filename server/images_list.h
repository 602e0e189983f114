/* images_list.h - images with what only the whole list knows: shared sizes and
 * who uses them. For GET /images/json and /system/df. Private to the routes. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

struct error;
struct request;

/* filters: validated, or NULL. all: also the steps that other images were built from.
 * counts: how many containers use each; else -1. */
int images_summaries(struct request *request, const cJSON *filters, bool all, bool shared_sizes, bool counts, cJSON **ret,
                     struct error *err);
/* routes_build.c: the build cache as /system/df lists it. */
cJSON *build_cache_summaries(struct request *request);
