/* progress.c - see progress.h. */
#include "progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "routes.h"
#include "tabique/image.h"

#define BAR 50

int progress_line(struct request *request, cJSON *json)
{
    return respond_json_line(request, json, "\r\n");
}

int progress_error(struct request *request, const struct error *err)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json_add_object(json, "errorDetail"), "message", err->message);
    json_add_string(json, "error", err->message);
    return progress_line(request, json);
}

/* Docker's sizes: four digits of precision, powers of a thousand. */
static void human_size(double size, char out[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    size_t i = 0;
    for (; size >= 1000.0 && i + 1 < ARRAY_SIZE(units); i++)
        size /= 1000.0;
    snprintf(out, 32, "%.4g%s", size, units[i]);
}

/* The bar as older clients expect it ready-made: "[====>   ]  1.2MB/3MB". */
static char *bar_text(int64_t current, int64_t total)
{
    char have[32], want[32], bar[BAR + 1];
    human_size((double)current, have);
    if (total <= 0)
        return mem_printf("%8s", have);
    human_size((double)total, want);
    int filled = (int)((double)current / (double)total * 100) / 2;
    filled = filled > BAR ? BAR : filled;
    memset(bar, '=', (size_t)filled);
    bar[filled] = '\0';
    return mem_printf("[%s>%*s] %8s/%s", bar, BAR - filled, "", have, want);
}

cJSON *progress_json(const struct image_report *report)
{
    cJSON *json = cJSON_CreateObject();
    if (report->status)
        json_add_string(json, "status", report->status);
    if (report->layer) {
        cJSON *detail = json_add_object(json, "progressDetail");
        if (report->current > 0)
            json_add_int(detail, "current", report->current);
        if (report->total > 0)
            json_add_int(detail, "total", report->total);
        if (report->current > 0 || report->total > 0) {
            CLEANUP_FREE char *bar = bar_text(report->current, report->total);
            json_add_string(json, "progress", bar);
        }
    }
    if (report->id)
        json_add_string(json, "id", report->id);
    if (report->aux)
        json_add(json, "aux", cJSON_Duplicate(report->aux, true));
    return json;
}

void progress_report(void *user, const struct image_report *report)
{
    struct progress *progress = user;
    if (!progress->begun && !progress->gone)
        progress->gone = respond_begin(progress->request, 200, "application/json") < 0;
    progress->begun = true;
    if (!progress->gone)
        progress->gone = progress_line(progress->request, progress_json(report)) < 0;
}

bool progress_gone(void *user)
{
    struct progress *progress = user;
    return progress->gone || request_gone(progress->request);
}

int progress_end(struct progress *progress, int r, struct error *err)
{
    if (r < 0 && !progress->begun)
        return route_fail(progress->request, r, err);
    if (progress->gone)
        return -EPIPE;
    if (r < 0 && err->code == 0)
        error_errno(err, -r, "request failed");
    if (!progress->begun) /* a push of nothing */
        r = respond_begin(progress->request, 200, "application/json");
    else if (r < 0)
        r = progress_error(progress->request, err);
    return r < 0 ? r : respond_end(progress->request);
}
