/* recipe.h - how to give back a layer's very tar from its unpacked tree. Private to archive/.
 *
 * A layer's digest is that of its tar, which cannot be packed again bit for bit
 * from the tree: order, field widths and padding are its maker's. The recipe keeps
 * all that is not a file's contents, compressed: a few percent of the layer.
 *
 * Format: a zstd stream of records. 'R' u32 length, bytes: these bytes. 'F' u64
 * size, u32 length, path: the contents of that file. 'E': the end. Little-endian.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct recipe_writer;

struct recipe_writer *recipe_writer_new(int fd); /* borrows fd */
void recipe_writer_freep(struct recipe_writer **writer);
int recipe_raw(struct recipe_writer *writer, const void *data, size_t length);
int recipe_file(struct recipe_writer *writer, const char *path, uint64_t size);
int recipe_finish(struct recipe_writer *writer);
