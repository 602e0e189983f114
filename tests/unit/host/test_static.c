#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tabique/error.h"
#include "tabique/host.h"

int main(void)
{
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct process_list *list = NULL;
    pid_t self = getpid();

    if (process_read(proc, NULL, 0, &list, NULL) < 0 || !process_list_find(list, self))
        return 1;
    process_list_unref(list);
    if (process_read(proc, &self, 1, &list, NULL) < 0 || list->count != 1)
        return 2;
    process_list_unref(list);
    return 0;
}
