// The network interfaces of this machine are not the app's to know: it has a loopback of its own.
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stddef.h>

enum { UP = 1 << 0, LOOPBACK = 1 << 3, RUNNING = 1 << 6 };

int getifaddrs(struct ifaddrs **list) {
  static struct sockaddr_in address, mask;
  static struct ifaddrs loopback = {
      .ifa_name = "lo",
      .ifa_flags = UP | LOOPBACK | RUNNING,
      .ifa_addr = (struct sockaddr *)&address,
      .ifa_netmask = (struct sockaddr *)&mask,
  };
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  mask = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xff000000)};
  *list = &loopback;
  return 0;
}

void freeifaddrs(struct ifaddrs *list) { (void)list; }
