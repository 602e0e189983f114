/* config.h - the server's options: one table, four sources.
 *
 * Flag before environment (TABIQUE_*) before file before default. The same names
 * everywhere: `data-dir` is --data-dir, TABIQUE_DATA_DIR and `data-dir = ...`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct error;

struct config {
    char *config, *data_dir, *run_dir, *socket, *socket_group;
    char **listen, **allowed_hosts;
    char *tls_cert, *tls_key, *tls_client_ca;
    char *libexec_dir, *machines_dir, *web_dir, *base_image;
    char *default_isolation, *accelerator, *userns_remap;
    char *bridge, *bip;
    char **address_pools, **dns;
    char **insecure_registries, **registry_mirrors;
    char *registry_certs;
    int64_t registry_timeout;
    int64_t history_retention, audit_retention, history_max_size, sample_interval;
    int64_t threads, vm_pool, vm_disk_size, image_max_size, image_max_ratio;
    char *log_level;
    bool banner, check_config, help, version, list_routes;
};

/* env: NULL-terminated, as environ. Says what is wrong and where it was written. */
int config_load(int argc, char *const *argv, char *const *env, struct config *ret,
                struct error *err);
void config_free(struct config *config);
void config_help(FILE *out);
void config_print(const struct config *config, FILE *out); /* for --check-config */
int config_log_level(const struct config *config);
