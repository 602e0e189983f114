/* hyperv.h - what the shim's main tells the thick wall before it is used. */
#pragma once

/* dir: setup.h's, prepared. memory_fd: the template's sealed memory, inherited from
 * the server (machine_template_memory()); -EBADF: machines boot cold. Both must
 * outlive every instance. files_program: path of tabique-files. */
void hyperv_use(const char *dir, int memory_fd, const char *files_program);
