/* disk.h - an image as a read-only disk for small machines.
 *
 * <images>/disks/HEX.erofs, made at first need from the merged layers by
 * mkfs.erofs (erofs-utils), shared by all machines, removed with the image; or before
 * it as what it is, a cache (image_cache_prune()), while no container holds the image.
 * One made again differs from the first in its superblock at most, so that a machine
 * that has read the one may go on with the other.
 * Threads: any; making one blocks others that want to make one.
 */
#pragma once

struct error;
struct image_store;

int image_disk(struct image_store *store, const char *image_id, char **ret_path, struct error *err);
