/* resolv.h - reading a resolv.conf. */
#pragma once

struct resolv {
    char **servers, **search, **options;
};

int resolv_read(const char *path, struct resolv *ret); /* -errno; limits on everything */
void resolv_clear(struct resolv *resolv);
