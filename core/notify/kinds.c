/* kinds.c - what can be told, and in what words. Owner: notify. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "notify/notify_internal.h"

const char *const notify_languages[NOTIFY_LANGUAGES] = {"en", "es"};

const struct notify_kind_row notify_kinds[NOTIFY_KINDS] = {
    [NOTIFY_EXIT] = {.name = "exit",
                     .text = {"{container} ended on its own with exit code {exitCode}",
                              "{container} terminó por sí mismo con el código de salida {exitCode}"}},
    [NOTIFY_OOM] = {.name = "oom",
                    .text = {"{container} ran out of memory: the kernel ended a process of it",
                             "{container} se quedó sin memoria: el núcleo terminó un proceso suyo"}},
    [NOTIFY_UNHEALTHY] = {.name = "unhealthy",
                          .lasting = true,
                          .text = {"{container} is unhealthy: its health check fails",
                                   "{container} no está sano: falla su comprobación de estado"}},
    [NOTIFY_RESTART_LOOP] = {.name = "restart-loop",
                             .seconds = true,
                             .count = true,
                             .text = {"{container} ended {count} times within {seconds} s and is started again "
                                      "each time",
                                      "{container} terminó {count} veces en {seconds} s y se inicia de nuevo "
                                      "cada vez"}},
    [NOTIFY_WORKER_LOST] = {.name = "worker-lost",
                            .text = {"{container} lost what it ran in: {reason}",
                                     "{container} perdió aquello en que se ejecutaba: {reason}"}},
    [NOTIFY_CPU] = {.name = "cpu",
                    .level = true,
                    .lasting = true,
                    .seconds = true,
                    .above = true,
                    .text = {"{container} has used {percent} % of a CPU, over {above} %, for {seconds} s",
                             "{container} lleva {seconds} s usando el {percent} % de una CPU, más del {above} %"}},
    [NOTIFY_MEMORY] = {.name = "memory",
                       .level = true,
                       .lasting = true,
                       .seconds = true,
                       .above = true,
                       .text = {"{container} has used {percent} % of its memory, over {above} %, for {seconds} s",
                                "{container} lleva {seconds} s usando el {percent} % de su memoria, más del "
                                "{above} %"}},
    /* Not a rule's kind: what "test this channel" sends. */
    [NOTIFY_TEST] = {.name = "test",
                     .text = {"A test from Tabique: this channel works", "Una prueba de Tabique: este canal "
                                                                          "funciona"}},
};

int notify_kind_find(const char *name)
{
    for (int i = 0; i < NOTIFY_KINDS; i++) {
        if (strcmp(notify_kinds[i].name, name) == 0)
            return i;
    }
    return -1;
}

static void append_field(struct str *out, const char *field, const char *container, const cJSON *detail)
{
    const cJSON *value = json_get(detail, field);

    if (strcmp(field, "container") == 0)
        str_append(out, container);
    else if (cJSON_IsString(value))
        str_append(out, value->valuestring);
    else if (cJSON_IsNumber(value))
        str_printf(out, "%.10g", value->valuedouble);
}

char *notify_sentence(const char *kind, int language, const char *container, const cJSON *detail)
{
    int row = notify_kind_find(kind);
    struct str out = {0};

    for (const char *c = row < 0 ? kind : notify_kinds[row].text[language]; *c;) {
        const char *close = *c == '{' ? strchr(c, '}') : NULL;

        if (!close) {
            str_append_char(&out, *c++);
            continue;
        }
        CLEANUP_FREE char *field = mem_strndup(c + 1, (size_t)(close - c - 1));
        append_field(&out, field, container, detail);
        c = close + 1;
    }
    return str_take(&out);
}
