/* The program in the containers of these tests. It waits, and it leaves on
 * SIGTERM unless it is told to be stubborn. Its health is a file, which runs of
 * it beside the first set and check. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static void leave(int signal) {
    (void)signal;
    _exit(0);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "check"))
        return access("/well", F_OK) ? 1 : 0;
    if (!strcmp(mode, "well"))
        return creat("/well", 0600) < 0;
    if (!strcmp(mode, "ill"))
        return unlink("/well");
    if (strcmp(mode, "stubborn"))
        signal(SIGTERM, leave);
    for (;;)
        pause();
}
