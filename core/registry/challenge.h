/* challenge.h - what a registry asks for in WWW-Authenticate (RFC 9110, 11.6.1). Pure. */
#pragma once

#include <stddef.h>

#define CHALLENGES_MAX 8

struct challenge {
    char *scheme;  /* as written: compare without case */
    char *realm, *service, *scope, *error; /* NULL: not said */
};
struct challenges {
    struct challenge list[CHALLENGES_MAX];
    size_t count;
};
void registry__challenges_clear(struct challenges *challenges);
/* Adds those of one header line; what cannot be understood ends it. */
void registry__challenges_parse(const char *header, struct challenges *into);
const struct challenge *registry__challenges_find(const struct challenges *challenges, const char *scheme);
