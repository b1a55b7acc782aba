/* What a program lets go of when its start is over: pages of files, but none that was changed. */
#include "base/mem.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 16, PAGE = 4096 };

static int file_of_pages(void)
{
    char path[512], page[PAGE];
    int fd;

    snprintf(path, sizeof(path), "%s/pages", t_tmpdir());
    fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    T_OK(fd >= 0);
    for (int i = 0; i < PAGES; i++) {
        memset(page, 'a' + i, sizeof(page));
        T_INT(write(fd, page, sizeof(page)), PAGE);
    }
    return fd;
}

static char *map(int fd, int rights)
{
    char *p = mmap(NULL, PAGES * PAGE, rights, MAP_PRIVATE, fd, 0);

    T_OK(p != MAP_FAILED);
    return p;
}

/* How many pages of the mapping lie in this process. */
static uint64_t present(const char *p)
{
    uint64_t entry[PAGES];
    uint64_t n = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    T_OK(fd >= 0);
    T_INT(pread(fd, entry, sizeof(entry), (off_t)((uintptr_t)p / PAGE * sizeof(entry[0]))),
          sizeof(entry));
    T_OK(close(fd) == 0);
    for (int i = 0; i < PAGES; i++) {
        n += (entry[i] >> 63) & 1;
    }
    return n;
}

static void check_all(const char *p)
{
    for (int i = 0; i < PAGES; i++) {
        T_INT(p[i * PAGE], 'a' + i);
    }
}

TEST(pages_of_files_are_let_go_and_come_back)
{
    int fd = file_of_pages();
    char *p;

    if (sysconf(_SC_PAGESIZE) != PAGE) {
        return;
    }
    p = map(fd, PROT_READ);
    check_all(p);
    T_INT(present(p), PAGES);
    mem_drop_files();
    T_INT(present(p), 0);
    check_all(p);
    T_OK(munmap(p, PAGES * PAGE) == 0);
    T_OK(close(fd) == 0);
}

/* As the loader's tables and a debugger's breakpoints are: changed, and read-only again. */
TEST(pages_that_were_changed_stay)
{
    int fd = file_of_pages();
    char *p = map(fd, PROT_READ | PROT_WRITE), *open_still;

    p[3 * PAGE + 7] = '!';
    T_OK(mprotect(p, PAGES * PAGE, PROT_READ) == 0);
    open_still = map(fd, PROT_READ | PROT_WRITE);
    open_still[5 * PAGE] = '?';
    mem_drop_files();
    T_INT(p[3 * PAGE + 7], '!');
    T_INT(p[3 * PAGE], 'd');
    T_INT(open_still[5 * PAGE], '?');
    T_OK(munmap(p, PAGES * PAGE) == 0);
    T_OK(munmap(open_still, PAGES * PAGE) == 0);
    T_OK(close(fd) == 0);
}
