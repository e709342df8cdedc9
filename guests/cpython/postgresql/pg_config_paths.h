// Where the library looks for a machine's own services (pg_service.conf).
#define SYSCONFDIR "/etc/postgresql-common"
