/* progress.h - lines of JSON as they come: what pull, push, load and build stream. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

struct error;
struct image_report;
struct request;

/* Takes json. 0 or -EPIPE. */
int progress_line(struct request *request, cJSON *json);
/* {"errorDetail": {"message"}, "error"} */
int progress_error(struct request *request, const struct error *err);

/* A pull's or push's line as clients draw it. */
cJSON *progress_json(const struct image_report *report);

/* A pull's or push's: the answer begins with its first line, so that what fails
 * before has a status. */
struct progress {
    struct request *request;
    bool begun, gone;
};
void progress_report(void *progress, const struct image_report *report); /* an image_report_fn */
bool progress_gone(void *progress);                                      /* whether nobody listens any more */
/* Ends the answer; r and err are what the work gave. */
int progress_end(struct progress *progress, int r, struct error *err);
