/* curl.c - libcurl, loaded when it is first used. Owner: curl.
 *
 * libcurl and the twenty libraries it stands on cost an idle server a fifth of its
 * memory, and most servers speak to a registry or a webhook now and then, or never
 * (docs/adr/0011). So these functions stand in for libcurl's own, under its names
 * and with its header, and hand on. Without the library curl_easy_init() gives NULL;
 * curl_missing() says why.
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "curl/missing.h"

/* The header's macros check types and then call the functions, which are made here. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

static void *library;
static char reason[256];

static void load(void)
{
    library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(reason, sizeof(reason), "%s", dlerror());
        return;
    }
    /* The one place where libcurl is initialised: before any thread uses it. */
    CURLcode (*init)(long) = (CURLcode(*)(long))dlsym(library, "curl_global_init");
    if (!init || init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        snprintf(reason, sizeof(reason), "libcurl cannot be initialised");
        library = NULL;
    }
}

const char *curl_missing(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return library ? NULL : reason;
}

static void *find(void **kept, const char *name)
{
    void *symbol = __atomic_load_n(kept, __ATOMIC_ACQUIRE);

    if (!symbol && !curl_missing()) {
        symbol = dlsym(library, name);
        __atomic_store_n(kept, symbol, __ATOMIC_RELEASE);
    }
    return symbol;
}

/* Whoever has a handle has the library: only what makes handles can find it missing. */
#define HAND_ON(result, none, name, parameters, arguments)                \
    result name parameters                                                \
    {                                                                     \
        static void *kept;                                                \
        result(*symbol) parameters = (result(*) parameters)find(&kept, #name); \
        return symbol ? symbol arguments : (none);                        \
    }
#define HAND_ON_VOID(name, parameters, arguments)                       \
    void name parameters                                                \
    {                                                                   \
        static void *kept;                                              \
        void(*symbol) parameters = (void (*) parameters)find(&kept, #name); \
        if (symbol)                                                     \
            symbol arguments;                                           \
    }
/* One argument behind the named ones: a long, a pointer or a curl_off_t, which are
 * passed alike where both are 64 bits wide. */
_Static_assert(sizeof(long) == sizeof(void *) && sizeof(curl_off_t) == sizeof(void *), "arguments that are passed alike");
#define HAND_ON_OPTION(result, none, name, handle_type, option_type)                      \
    result name(handle_type handle, option_type option, ...)                              \
    {                                                                                     \
        static void *kept;                                                                \
        result (*symbol)(handle_type, option_type, ...) = (result(*)(handle_type, option_type, ...))find(&kept, #name); \
        va_list arguments;                                                                \
        va_start(arguments, option);                                                      \
        void *argument = va_arg(arguments, void *);                                       \
        va_end(arguments);                                                                \
        return symbol ? symbol(handle, option, argument) : (none);                        \
    }

HAND_ON(CURL *, NULL, curl_easy_init, (void), ())
HAND_ON_VOID(curl_easy_cleanup, (CURL *handle), (handle))
HAND_ON_VOID(curl_easy_reset, (CURL *handle), (handle))
HAND_ON_OPTION(CURLcode, CURLE_FAILED_INIT, curl_easy_setopt, CURL *, CURLoption)
HAND_ON_OPTION(CURLcode, CURLE_FAILED_INIT, curl_easy_getinfo, CURL *, CURLINFO)
HAND_ON(CURLcode, CURLE_FAILED_INIT, curl_easy_perform, (CURL * handle), (handle))
HAND_ON(const char *, "libcurl is missing", curl_easy_strerror, (CURLcode code), (code))
HAND_ON(struct curl_slist *, NULL, curl_slist_append, (struct curl_slist * list, const char *text), (list, text))
HAND_ON_VOID(curl_slist_free_all, (struct curl_slist * list), (list))
HAND_ON(CURLU *, NULL, curl_url, (void), ())
HAND_ON_VOID(curl_url_cleanup, (CURLU * url), (url))
HAND_ON(CURLUcode, CURLUE_OUT_OF_MEMORY, curl_url_set, (CURLU * url, CURLUPart part, const char *text, unsigned flags),
        (url, part, text, flags))
HAND_ON(CURLUcode, CURLUE_OUT_OF_MEMORY, curl_url_get, (CURLU * url, CURLUPart part, char **text, unsigned flags),
        (url, part, text, flags))
HAND_ON_VOID(curl_free, (void *text), (text))
HAND_ON(CURLM *, NULL, curl_multi_init, (void), ())
HAND_ON(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_cleanup, (CURLM * multi), (multi))
HAND_ON(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_add_handle, (CURLM * multi, CURL *handle), (multi, handle))
HAND_ON(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_remove_handle, (CURLM * multi, CURL *handle), (multi, handle))
HAND_ON(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_perform, (CURLM * multi, int *running), (multi, running))
HAND_ON(CURLMsg *, NULL, curl_multi_info_read, (CURLM * multi, int *left), (multi, left))
HAND_ON(CURLMcode, CURLM_INTERNAL_ERROR, curl_multi_poll,
        (CURLM * multi, struct curl_waitfd *fds, unsigned count, int timeout_ms, int *ready), (multi, fds, count, timeout_ms, ready))
HAND_ON(curl_mime *, NULL, curl_mime_init, (CURL * handle), (handle))
HAND_ON_VOID(curl_mime_free, (curl_mime * mime), (mime))
HAND_ON(curl_mimepart *, NULL, curl_mime_addpart, (curl_mime * mime), (mime))
HAND_ON(CURLcode, CURLE_FAILED_INIT, curl_mime_data, (curl_mimepart * part, const char *data, size_t size), (part, data, size))
HAND_ON(CURLcode, CURLE_FAILED_INIT, curl_mime_type, (curl_mimepart * part, const char *type), (part, type))
HAND_ON(CURLcode, CURLE_FAILED_INIT, curl_mime_encoder, (curl_mimepart * part, const char *encoding), (part, encoding))
