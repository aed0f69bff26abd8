/* The program in the containers of these tests. It waits, and it leaves on
 * SIGTERM unless it is told to be stubborn. Its health is a file, which runs of
 * it beside the first set and check. Told to serve, it answers HTTP with the
 * name of its container. */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int serve(void) {
    char name[64] = "", answer[256], request[4096];
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 64))
        return 1;
    gethostname(name, sizeof name - 1);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(name), name);
    for (;;) {
        int client = accept(listener, 0, 0);
        if (read(client, request, sizeof request) > 0)
            (void)!write(client, answer, strlen(answer));
        close(client);
    }
}

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
    if (!strcmp(mode, "serve"))
        return serve();
    for (;;)
        pause();
}
