// Host names: our own, and looking up others.
//
// Why not libc's own: it takes "any address" for "this host" (a server bound to "" would listen on the
// loopback only), cannot write an address as text, and finds no host by gethostbyname().
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

// ---- This host

int uname(struct utsname *system) {
  const char *name = getenv("HOSTNAME");
  memset(system, 0, sizeof *system);
  strcpy(system->sysname, "wasi");
  strcpy(system->release, "0.0.0");
  strcpy(system->version, "0.0.0");
  strcpy(system->machine, "wasm32");
  snprintf(system->nodename, sizeof system->nodename, "%s", name && *name ? name : "localhost");
  return 0;
}

int gethostname(char *name, size_t size) {
  struct utsname system;
  uname(&system);
  if (size <= strlen(system.nodename)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(name, system.nodename);
  return 0;
}

// ---- Names to addresses

extern int __real_getaddrinfo(const char *restrict, const char *restrict, const struct addrinfo *restrict,
                              struct addrinfo **restrict);

static bool is_number(const char *host) {
  struct in6_addr address;
  return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

// libc says "stream" whatever the program asked for.
static void set_type(struct addrinfo *result, const struct addrinfo *hints) {
  if (!hints || (!hints->ai_socktype && hints->ai_protocol != IPPROTO_UDP)) return;
  bool datagram = hints->ai_socktype == SOCK_DGRAM || hints->ai_protocol == IPPROTO_UDP;
  for (; result; result = result->ai_next) {
    result->ai_socktype = datagram ? SOCK_DGRAM : SOCK_STREAM;
    result->ai_protocol = datagram ? IPPROTO_UDP : IPPROTO_TCP;
  }
}

// No host means: the addresses to bind to for AI_PASSIVE, else this host.
int __wrap_getaddrinfo(const char *restrict host, const char *restrict service,
                       const struct addrinfo *restrict hints, struct addrinfo **restrict result) {
  if (!host && !service) return EAI_NONAME;
  if (!host) {
    bool passive = hints && hints->ai_flags & AI_PASSIVE, v6 = hints && hints->ai_family == AF_INET6;
    host = passive ? (v6 ? "::" : "0.0.0.0") : (v6 ? "::1" : "127.0.0.1");
  }
  if (hints && hints->ai_flags & AI_NUMERICHOST && !is_number(host)) return EAI_NONAME;
  if (hints && hints->ai_flags & AI_NUMERICSERV && service && service[strspn(service, "0123456789")])
    return EAI_NONAME;
  int error = __real_getaddrinfo(host, service, hints, result);
  if (error == EAI_SYSTEM && errno == EINVAL) return EAI_NONAME;  // not what a host's name can look like
  if (error == 0 && !*result) return EAI_NODATA;  // libc calls it success when no address is of the right family
  if (error == 0) set_type(*result, hints);
  return error;
}

enum { MOST_ADDRESSES = 16 };

// The static result that the two functions below share, as POSIX lets them.
static struct hostent *host_of(const char *name, const struct in_addr *addresses, int count) {
  static struct in_addr kept[MOST_ADDRESSES];
  static char *pointers[MOST_ADDRESSES + 1], *no_aliases[1], canonical[256];
  static struct hostent host = {
      .h_name = canonical, .h_aliases = no_aliases, .h_addrtype = AF_INET, .h_length = 4, .h_addr_list = pointers};
  for (int i = 0; i < count; i++) {
    kept[i] = addresses[i];
    pointers[i] = (char *)&kept[i];
  }
  pointers[count] = NULL;
  snprintf(canonical, sizeof canonical, "%s", name);
  return &host;
}

struct hostent *__wrap_gethostbyname(const char *name) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  int error = __wrap_getaddrinfo(name, NULL, &hints, &found);
  if (error) {
    h_errno = error == EAI_AGAIN ? TRY_AGAIN : HOST_NOT_FOUND;
    return NULL;
  }
  struct in_addr addresses[MOST_ADDRESSES];
  int count = 0;
  for (struct addrinfo *a = found; a && count < MOST_ADDRESSES; a = a->ai_next)
    addresses[count++] = ((struct sockaddr_in *)a->ai_addr)->sin_addr;
  freeaddrinfo(found);
  return host_of(name, addresses, count);
}

// ---- Addresses to names: there is no reverse lookup in wasi. All but the loopback are as nameless as most are.

struct hostent *__wrap_gethostbyaddr(const void *address, socklen_t size, int family) {
  if (family == AF_INET && size == sizeof(struct in_addr) && *(const unsigned char *)address == IN_LOOPBACKNET)
    return host_of("localhost", address, 1);
  h_errno = HOST_NOT_FOUND;
  return NULL;
}

const char *__wrap_hstrerror(int error) {
  switch (error) {
  case HOST_NOT_FOUND: return "Unknown host";
  case TRY_AGAIN: return "Host name lookup failure";
  default: return "Unknown server error";
  }
}

static int write_port(unsigned port, char *service, socklen_t size) {
  return snprintf(service, size, "%u", ntohs(port)) < (int)size ? 0 : EAI_OVERFLOW;
}

int __wrap_getnameinfo(const struct sockaddr *restrict address, socklen_t address_size, char *restrict host,
                       socklen_t host_size, char *restrict service, socklen_t service_size, int flags) {
  const void *number;
  unsigned port;
  if (address->sa_family == AF_INET && address_size >= sizeof(struct sockaddr_in)) {
    number = &((const struct sockaddr_in *)address)->sin_addr;
    port = ((const struct sockaddr_in *)address)->sin_port;
  } else if (address->sa_family == AF_INET6 && address_size >= sizeof(struct sockaddr_in6)) {
    number = &((const struct sockaddr_in6 *)address)->sin6_addr;
    port = ((const struct sockaddr_in6 *)address)->sin6_port;
  } else {
    return EAI_FAMILY;
  }
  if (flags & NI_NAMEREQD) return EAI_NONAME;
  if (host && host_size && !inet_ntop(address->sa_family, number, host, host_size)) return EAI_OVERFLOW;
  return service && service_size ? write_port(port, service, service_size) : 0;
}
