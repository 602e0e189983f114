/* config_check.h - whether one value of an option is good. Internal to config.c.
 *
 * Each returns 0, or -EINVAL with a text that names the value and says what to write.
 */
#pragma once

struct error;

typedef int config_check_fn(const char *value, struct error *err);

config_check_fn check_listen, check_host, check_group, check_device, check_bridge_address,
    check_pool, check_server, check_insecure, check_mirror;
