/* transfer.h - what everybody who transfers by libcurl has in common. Owner: curl. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>

struct error;

struct transfer {
    long connect_s; /* until there is a connection */
    long slow_bytes, slow_s; /* less than so many bytes a second for so long is no answer */
    bool (*cancelled)(void *user); /* may be NULL; asked often */
    void *user;
    bool was_cancelled; /* set where cancelled() said so */
    char detail[CURL_ERROR_SIZE];
};

/* The options that do not depend on what is sent; the transfer lives as long as the call. */
void transfer_prepare(CURL *handle, const char *url, struct transfer *transfer);

/* Why it failed, in the words of Go's HTTP client, which people search for. Returns -errno. */
int transfer_explain(CURL *handle, CURLcode code, const char *method, const char *url, const struct transfer *transfer,
                     struct error *err);

/* "https://host:443" of a http or https address, in small letters; NULL: it is none, or names a user. */
char *transfer_origin(const char *url);
