/* credentials.h - header values made of secrets. Private to registry/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tabique/registry.h"

/* "https://host:5000/v2/", "host:5000" or docker.io's many names: the domain. */
char *registry__server_domain(const char *server);
/* "Basic ..."; NULL without a user. */
char *registry__credentials_basic(const struct registry_credentials *credentials);
/* Whether the text may stand in a header: printable, no space, not over-long. */
bool registry__credentials_token_valid(const char *token);
void registry__credentials_copy(const struct registry_credentials *from, struct registry_credentials *to);
