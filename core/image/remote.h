/* remote.h - what pull and push share. Private to image/. */
#pragma once

#include "image/store.h"
#include "registry/session.h"

#define MEDIA_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"

/* A name taken apart. */
struct image_reference {
    char *repository;  /* familiar: "ubuntu", "localhost:5000/x" */
    char *domain;      /* "docker.io", "localhost:5000" */
    char *path;        /* "library/ubuntu", "x" */
    char *tag, *digest; /* NULL: not said */
};
void image__reference_clear(struct image_reference *reference);
int image__reference_parse(const char *text, struct image_reference *ret, struct error *err);
/* Whether another place is asked after this one answered r; then err is clean again. A
 * mirror that has it not, or answers not, is as if it were not there. */
bool image__elsewhere(const struct endpoint *endpoint, int r, struct error *err);

/* Cancelling: the caller's thread asks, and the others see it. */
struct image_stop {
    const struct image_remote *remote;
    pthread_t owner;
    atomic_bool stop;
};
bool image__stop_asked(void *stop); /* a registry_cancelled_fn */

void image__report(const struct image_remote *remote, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What a manifest is, by what the registry calls it, and by what it says itself. */
enum image_manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };
int image__manifest_kind(const struct registry_manifest *manifest, const char *name, enum image_manifest_kind *ret, struct error *err);
/* A registry's refusal in Docker's words; r is what came back. */
int image__refused(const struct image_reference *reference, enum registry_fault fault, int r, struct error *err);
