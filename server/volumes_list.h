/* volumes_list.h - for /system/df. Private to the routes. */
#pragma once

#include <cjson/cJSON.h>

struct request;

/* All volumes with their sizes. */
cJSON *volumes_usage(struct request *request);
