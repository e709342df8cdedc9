//! Clients of the package index, unmodified, against servers of the machine:
//!
//!     cargo test --workspace --test it real_servers -- --ignored
//!
//! Nothing is installed by this: a server that is not there is named. The servers listen on an address of the machine that
//! is not loopback, for loopback inside the sandbox is the app's own; nothing leaves the machine.

use crate::network::listener_beyond_loopback;
use crate::support::{project, pywasm, run};
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to listen: not an assertion on speed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server in a folder of its own, ended with the test.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Politely: some have children. A folder's owner may be another user, whose processes must be gone first.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

/// Where a program is, or which package brings it.
fn program(name: &str, package: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.extend(["/usr/sbin", "/usr/lib/rabbitmq/bin"].map(PathBuf::from));
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not on this machine: Debian has it in the package {package}")
    })
}

/// Servers refuse to run as root: then they run as nobody.
fn command(program: &Path, folder: &Path) -> Command {
    let id = Command::new("id")
        .arg("-u")
        .output()
        .expect("id runs")
        .stdout;
    let mut command = match id.trim_ascii() {
        b"0" => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                .arg(program);
            command
        }
        _ => Command::new(program),
    };
    command
        .current_dir(folder)
        .env("HOME", folder)
        .stdin(Stdio::null());
    command
}

fn succeed(mut command: Command) {
    let done = command.output().expect("it starts");
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}\n{said}");
}

fn free_address() -> SocketAddr {
    let (_, address) =
        listener_beyond_loopback().expect("this machine has no network interface but loopback");
    address
}

fn new_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("its owner");
    folder
}

/// Starts a server and waits until it listens.
fn serve(mut command: Command, folder: tempfile::TempDir, address: SocketAddr) -> Server {
    let log = fs::File::create(folder.path().join("test.log")).expect("a log");
    command.stdout(log.try_clone().expect("a file")).stderr(log);
    let child = command.spawn().expect("it starts");
    let mut server = Server {
        child,
        folder,
        address,
    };
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        let ended = server.child.try_wait().expect("our child");
        let log = || fs::read_to_string(server.folder.path().join("test.log")).unwrap_or_default();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "{command:?}\n{}",
            log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// Packs a client and runs it: it may reach that server and nothing else.
fn client(server: &Server, requirements: &str, code: &str) -> String {
    run_project(
        server,
        &[("app.py", code), ("requirements.txt", requirements)],
    )
}

/// The same of a client of several files.
fn run_project(server: &Server, files: &[(&str, &str)]) -> String {
    let app = project(files);
    let package = app.path().join("app.pkg");
    let mut pack = pywasm(["pack", "-q", "-o"]);
    pack.arg(&package).arg(app.path());
    let ended = run(pack);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (ip, port): (IpAddr, u16) = (server.address.ip(), server.address.port());
    let mut start = pywasm(["run", "--allow-net", &server.address.to_string()]);
    start
        .args(["-e", &format!("SERVER={ip}"), "-e", &format!("PORT={port}")])
        .arg(package);
    let ended = run(start);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// PostgreSQL with one person, whose password is `secret`, and the certificate for its address.
fn postgresql() -> (Server, String) {
    let (initdb, postgres) = (
        program("initdb", "postgresql"),
        program("postgres", "postgresql"),
    );
    let (folder, address) = (new_folder(), free_address());
    fs::write(folder.path().join("password"), "secret").expect("written");
    let mut init = command(&initdb, folder.path());
    init.args([
        "-D",
        "data",
        "-U",
        "person",
        "--pwfile=password",
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--no-sync",
    ]);
    succeed(init);
    // Loopback is all that it trusts by itself.
    fs::write(
        folder.path().join("hba"),
        "host all all all scram-sha-256\n",
    )
    .expect("written");
    let certified = rcgen::generate_simple_self_signed([address.ip().to_string()]).expect("a key");
    // Whoever the server runs as must own the key.
    let mut keep = command(Path::new("/bin/sh"), folder.path());
    keep.args([
        "-c",
        "umask 077; printf %s \"$KEY\" > data/server.key; printf %s \"$CERTIFICATE\" > data/server.crt",
    ])
    .env("KEY", certified.signing_key.serialize_pem())
    .env("CERTIFICATE", certified.cert.pem());
    succeed(keep);
    let mut start = command(&postgres, folder.path());
    start.args([
        "-D",
        "data",
        "-k",
        "",
        "-c",
        "fsync=off",
        "-c",
        "ssl=on",
        "-c",
        "hba_file=hba",
    ]);
    start.args([
        "-h".to_owned(),
        address.ip().to_string(),
        "-p".to_owned(),
        address.port().to_string(),
    ]);
    (serve(start, folder, address), certified.cert.pem())
}

#[test]
#[ignore = "needs PostgreSQL on the machine"]
fn registry_pg8000_and_postgresql() {
    let (server, _) = postgresql();
    let printed = client(
        &server,
        "pg8000\n",
        r#"
import os, threading
import pg8000.dbapi, pg8000.exceptions

def connect(password='secret'):
    return pg8000.dbapi.connect('person', host=os.environ['SERVER'], port=int(os.environ['PORT']), password=password, database='postgres')

try: connect('wrong')
except pg8000.exceptions.DatabaseError as error: print(error.args[0]['C'])
base = connect()
cursor = base.cursor()
cursor.execute('CREATE TABLE t (id serial PRIMARY KEY, name text, data bytea, at timestamptz DEFAULT now())')
cursor.executemany('INSERT INTO t (name, data) VALUES (%s, %s)', [(f'Zoë {n}', bytes([n % 256]) * 1000) for n in range(500)])
base.commit()
cursor.execute('SELECT count(*), max(length(data)), min(at) <= now() FROM t')
print(cursor.fetchone())
cursor.execute('SELECT name, data FROM t ORDER BY id')
rows = cursor.fetchall()
print(rows[7][0], rows[499][1] == bytes([499 % 256]) * 1000, len(rows))
cursor.execute('DELETE FROM t'); base.rollback()
try: cursor.execute('SELECT nothing FROM t')
except pg8000.exceptions.DatabaseError as error: print(error.args[0]['C']); base.rollback()
def add(number):
    one = connect(); cursor = one.cursor()
    for _ in range(20): cursor.execute('INSERT INTO t (name) VALUES (%s)', (str(number),))
    one.commit(); one.close()
threads = [threading.Thread(target=add, args=(n,)) for n in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
cursor.execute('SELECT count(*) FROM t'); print(cursor.fetchone())
"#,
    );
    assert_eq!(
        printed,
        "28P01\n[500, 1000, True]\nZoë 7 True 500\n42703\n[600]\n"
    );
}

#[test]
#[ignore = "needs PostgreSQL on the machine"]
fn registry_psycopg2_and_postgresql() {
    let (server, certificate) = postgresql();
    let printed = client(
        &server,
        "psycopg2-binary\n",
        &r#"
import io, os, threading, psycopg2, psycopg2.errors, psycopg2.extras

open('/tmp/root.crt', 'w').write("""CERTIFICATE""")
def connect(password='secret', **more):
    return psycopg2.connect(host=os.environ['SERVER'], port=os.environ['PORT'], user='person', password=password, dbname='postgres', **more)

try: connect('wrong')
except psycopg2.OperationalError as error: print('password authentication failed' in str(error))
base = connect(sslmode='verify-full', sslrootcert='/tmp/root.crt')
print(base.info.ssl_in_use, base.info.ssl_attribute('protocol'))
cursor = base.cursor()
cursor.execute('CREATE TABLE t (id serial PRIMARY KEY, name text, data bytea, at timestamptz DEFAULT now(), tags text[], more jsonb)')
psycopg2.extras.execute_values(cursor, 'INSERT INTO t (name, data, tags, more) VALUES %s',
    [(f'Zoë {n}', bytes([n % 256]) * 1000, ['a', None, f'"{n}"'], psycopg2.extras.Json({'n': n})) for n in range(500)])
base.commit()
cursor.execute('SELECT count(*), max(length(data)), min(at) <= now() FROM t'); print(cursor.fetchone())
cursor.execute('SELECT name, data, tags, more FROM t WHERE id = 500'); name, data, tags, more = cursor.fetchone()
print(name, bytes(data) == bytes([499 % 256]) * 1000, tags, more)
cursor.copy_expert('COPY t (name) FROM STDIN', io.StringIO('one\ntwo\n'))
written = io.StringIO(); cursor.copy_expert("COPY (SELECT name FROM t WHERE id > 500) TO STDOUT", written); print(repr(written.getvalue()))
base.rollback()
with base, base.cursor('on the server', withhold=True) as slow:
    slow.itersize = 100
    slow.execute('SELECT id FROM t ORDER BY id'); print(sum(row[0] for row in slow))
try: cursor.execute('SELECT nothing FROM t')
except psycopg2.errors.UndefinedColumn as error: print(error.pgcode); base.rollback()
cursor.execute("DO $$ BEGIN RAISE NOTICE 'told'; END $$"); print(base.notices)
def add(number):
    with connect() as one, one.cursor() as cursor:
        for _ in range(20): cursor.execute('INSERT INTO t (name) VALUES (%s)', (str(number),))
threads = [threading.Thread(target=add, args=(n,)) for n in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
cursor.execute('SELECT count(*) FROM t'); print(cursor.fetchone())
"#
        .replace("CERTIFICATE", &certificate),
    );
    assert_eq!(
        printed,
        r#"True
True TLSv1.3
(500, 1000, True)
Zoë 499 True ['a', None, '"499"'] {'n': 499}
'one\ntwo\n'
125250
42703
['NOTICE:  told\n']
(600,)
"#
    );
}

#[test]
#[ignore = "needs PostgreSQL on the machine"]
fn registry_psycopg_and_postgresql() {
    let (server, certificate) = postgresql();
    let printed = client(
        &server,
        "psycopg[binary,pool]\n",
        &r#"
import asyncio, os, psycopg, psycopg.errors
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, ConnectionPool

open('/tmp/root.crt', 'w').write("""CERTIFICATE""")
where = f"host={os.environ['SERVER']} port={os.environ['PORT']} user=person dbname=postgres"
try: psycopg.connect(where, password='wrong')
except psycopg.OperationalError as error: print('password authentication failed' in str(error))
print(psycopg.pq.__impl__)
with psycopg.connect(where, password='secret', sslmode='verify-full', sslrootcert='/tmp/root.crt') as base:
    print(base.pgconn.ssl_in_use)
    base.execute('CREATE TABLE t (id serial PRIMARY KEY, name text, data bytea, at timestamptz DEFAULT now(), tags text[], more jsonb)')
    with base.cursor() as cursor:
        cursor.executemany('INSERT INTO t (name, data, tags, more) VALUES (%s, %s, %s, %s)',
            [(f'Zoë {n}', bytes([n % 256]) * 1000, ['a', None, f'"{n}"'], Jsonb({'n': n})) for n in range(500)])
        with cursor.copy('COPY t (name) FROM STDIN') as copy:
            for name in ('one', 'two'): copy.write_row((name,))
    print(base.execute('SELECT name, data = %s, tags, more FROM t WHERE id = 500', (bytes([499 % 256]) * 1000,)).fetchone())
    with base.cursor('slow') as slow:
        slow.itersize = 100
        print(sum(row[0] for row in slow.execute('SELECT id FROM t ORDER BY id')))
    base.commit()
    try: base.execute('SELECT nothing FROM t')
    except psycopg.errors.UndefinedColumn as error: print(error.sqlstate); base.rollback()
    with base.pipeline(): first, second = base.execute('SELECT 1'), base.execute('SELECT 2')
    print(first.fetchone(), second.fetchone())
with ConnectionPool(where, kwargs={'password': 'secret'}, min_size=2) as pool, pool.connection() as one:
    print(one.execute('SELECT count(*) FROM t').fetchone())

async def main():
    async with AsyncConnectionPool(where, kwargs={'password': 'secret'}, min_size=2) as pool:
        async def add(number):
            async with pool.connection() as one:
                for _ in range(20): await one.execute('INSERT INTO t (name) VALUES (%s)', (str(number),))
        await asyncio.gather(*(add(n) for n in range(5)))
        async with pool.connection() as one, await one.execute('SELECT count(*) FROM t') as cursor:
            print(await cursor.fetchone())
    heard = await psycopg.AsyncConnection.connect(where, password='secret', autocommit=True)
    async with heard:
        await heard.execute('LISTEN news'); await heard.execute("NOTIFY news, 'told'")
        async for notice in heard.notifies(stop_after=1): print(notice.payload)
asyncio.run(main())
"#
        .replace("CERTIFICATE", &certificate),
    );
    assert_eq!(
        printed,
        r#"True
c
True
('Zoë 499', True, ['a', None, '"499"'], {'n': 499})
126253
42703
(1,) (2,)
(502,)
(602,)
told
"#
    );
}

/// An unmodified project that keeps its rows in PostgreSQL.
const DJANGO: &str = r#"
import os, sys, django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    SECRET_KEY='x', USE_TZ=True, DEFAULT_AUTO_FIELD='django.db.models.BigAutoField',
    INSTALLED_APPS=['django.contrib.contenttypes', 'django.contrib.auth', 'django.contrib.sessions', 'django.contrib.admin',
                    'django.contrib.messages', 'django.contrib.postgres'],
    DATABASES={'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'postgres', 'USER': 'person', 'PASSWORD': 'secret',
                           'HOST': os.environ['SERVER'], 'PORT': os.environ['PORT']}})
django.setup()
from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.db import IntegrityError, connection, models, transaction

class Book(models.Model):
    title = models.CharField(max_length=100, unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    tags = ArrayField(models.CharField(max_length=20))
    more = models.JSONField(default=dict)
    class Meta: app_label = 'shop'

call_command('migrate', verbosity=0)
print(connection.vendor, connection.Database.__name__, connection.settings_dict['ENGINE'])
User.objects.create_superuser('zoë', 'z@example.org', 'secret')
print(User.objects.get(username='zoë').check_password('secret'))
with connection.schema_editor() as editor: editor.create_model(Book)
Book.objects.bulk_create(Book(title=f'Book {n}', price='9.90', tags=['a', str(n)], more={'pages': n}) for n in range(200))
print(Book.objects.filter(more__pages__gte=150, tags__contains=['a']).aggregate(models.Sum('price'), models.Count('id')))
try:
    with transaction.atomic(): Book.objects.create(title='Book 1', price=1, tags=[])
except IntegrityError as error: print(type(error.__cause__).__name__)
with transaction.atomic():
    book = Book.objects.select_for_update().get(title='Book 7'); book.price += 1; book.save()
print(Book.objects.get(title='Book 7').price, sum(1 for _ in Book.objects.iterator(chunk_size=20)))
"#;

#[test]
#[ignore = "needs PostgreSQL on the machine"]
fn registry_django_and_postgresql() {
    for (requirements, driver) in [
        ("django\npsycopg[binary]\n", "psycopg"),
        ("django\npsycopg2-binary\n", "psycopg2"),
    ] {
        let (server, _) = postgresql();
        assert_eq!(
            client(&server, requirements, DJANGO),
            format!(
                "postgresql {driver} django.db.backends.postgresql\nTrue\n\
                 {{'price__sum': Decimal('495.00'), 'id__count': 50}}\nUniqueViolation\n10.90 200\n"
            )
        );
    }
}

/// MariaDB with a database `app` for `person`.
fn mariadb() -> Server {
    let (install, mariadbd) = (
        program("mariadb-install-db", "mariadb-server"),
        program("mariadbd", "mariadb-server"),
    );
    let (folder, address) = (new_folder(), free_address());
    let here = folder.path().display().to_string();
    let mut init = command(&install, folder.path());
    init.args([
        "--no-defaults",
        &format!("--datadir={here}/data"),
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]);
    succeed(init);
    fs::write(
        folder.path().join("init.sql"),
        "CREATE DATABASE app CHARACTER SET utf8mb4;\nCREATE USER person IDENTIFIED BY 'secret';\nGRANT ALL ON app.* TO person;\n",
    )
    .expect("written");
    let mut start = command(&mariadbd, folder.path());
    start.args([
        "--no-defaults",
        &format!("--datadir={here}/data"),
        &format!("--socket={here}/s"),
    ]);
    start.args([
        format!("--init-file={here}/init.sql"),
        format!("--pid-file={here}/pid"),
    ]);
    start.args([
        format!("--bind-address={}", address.ip()),
        format!("--port={}", address.port()),
    ]);
    serve(start, folder, address)
}

#[test]
#[ignore = "needs MariaDB on the machine"]
fn registry_pymysql_and_mariadb() {
    let server = mariadb();
    let printed = client(
        &server,
        "pymysql\n",
        r#"
import os, pymysql

def connect(password='secret'):
    return pymysql.connect(host=os.environ['SERVER'], port=int(os.environ['PORT']), user='person', password=password, database='app')

try: connect('wrong')
except pymysql.err.OperationalError as error: print(error.args[0])
base = connect()
cursor = base.cursor()
cursor.execute('CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), data LONGBLOB) CHARACTER SET utf8mb4')
print(cursor.executemany('INSERT INTO t (name, data) VALUES (%s, %s)', [(f'Zoë 🐍 {n}', b'\x00\xff' * n) for n in range(500)]))
base.commit()
cursor.execute('SELECT count(*), max(length(data)) FROM t'); print(cursor.fetchone())
cursor.execute('SELECT name, data FROM t WHERE id = %s', (8,)); print(cursor.fetchone())
cursor.execute('INSERT INTO t (data) VALUES (%s)', (bytes(3_000_000),)); base.rollback()
try: cursor.execute('SELECT nothing FROM t')
except pymysql.err.OperationalError as error: print(error.args[0])
cursor.execute('SELECT count(*) FROM t'); print(cursor.fetchone())
"#,
    );
    let row = r"('Zoë 🐍 7', b'\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff')";
    assert_eq!(
        printed,
        format!("1045\n500\n(500, 998)\n{row}\n1054\n(500,)\n")
    );
}

#[test]
#[ignore = "needs MariaDB on the machine"]
fn registry_mysqlclient_and_mariadb() {
    let server = mariadb();
    let printed = client(
        &server,
        "mysqlclient\nsqlalchemy\n",
        r#"
import os, datetime, decimal, MySQLdb, MySQLdb.cursors, sqlalchemy

where = {'host': os.environ['SERVER'], 'port': int(os.environ['PORT']), 'user': 'person', 'database': 'app'}
def connect(password='secret', **more):
    return MySQLdb.connect(**where, password=password, **more)
def failure(what, *arguments):
    try: what(*arguments)
    except MySQLdb.Error as error: return type(error).__name__, error.args[0]

print(failure(connect, 'wrong'), failure(lambda: connect(ssl_mode='REQUIRED')), failure(lambda: connect(charset='none')))
base = connect()
cursor = base.cursor()
cursor.execute('CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), data LONGBLOB, price DECIMAL(8,2), at DATETIME(6), j JSON) CHARACTER SET utf8mb4')
rows = [(f"Zo'ë 🐍 \\ {n}", b"\x00\xff'\\" * n, decimal.Decimal('1.50'), datetime.datetime(2020, 1, 2, 3, 4, 5, 6), '{"a": "ü"}') for n in range(500)]
print(cursor.executemany('INSERT INTO t (name, data, price, at, j) VALUES (%s, %s, %s, %s, %s)', rows), cursor.lastrowid > 0)
base.commit()
print(cursor.execute('SELECT name, data, price, at, j FROM t WHERE id = %(id)s', {'id': 8}), cursor.fetchone() == rows[7])
cursor.execute('INSERT INTO t (data) VALUES (%s)', (bytes(3_000_000),)); cursor.execute('SELECT LENGTH(data), name FROM t WHERE name IS NULL'); print(cursor.fetchall())
base.rollback()
for sql in 'SELECT nothing FROM t', 'SELEC', 'INSERT INTO t (id) VALUES (1)', "INSERT INTO t (name) VALUES (REPEAT('a', 60))": print(failure(cursor.execute, sql))
with base.cursor(MySQLdb.cursors.SSDictCursor) as stream:
    stream.execute('SELECT id, name FROM t ORDER BY id')
    print(stream.fetchone(), failure(base.query, 'SELECT 1'), len(stream.fetchall()))
cursor.execute('CREATE PROCEDURE p(n INT) BEGIN SELECT n + 1; SELECT 7, 8; END')
print(cursor.callproc('p', (5,)), cursor.fetchall(), cursor.nextset(), cursor.fetchall(), cursor.nextset(), cursor.nextset())
slow = connect(read_timeout=1)
print(failure(slow.query, 'SELECT SLEEP(5)'), failure(slow.query, 'SELECT 1'))
killed = connect(); base.kill(killed.thread_id())
print(failure(killed.query, 'SELECT 1'), failure(killed.ping)); killed.close(); print(failure(killed.close))

engine = sqlalchemy.create_engine(sqlalchemy.URL.create('mysql+mysqldb', 'person', 'secret', where['host'], where['port'], 'app'))
with engine.connect() as link:
    print(link.scalar(sqlalchemy.text('SELECT name FROM t WHERE id = :id'), {'id': 8}), sqlalchemy.inspect(engine).get_table_names())
"#,
    );
    let expected = r#"('OperationalError', 1045) ('OperationalError', 2026) ('OperationalError', 2019)
500 True
1 True
((3000000, None),)
('OperationalError', 1054)
('ProgrammingError', 1064)
('IntegrityError', 1062)
('DataError', 1406)
{'id': 1, 'name': "Zo'ë 🐍 \\ 0"} ('ProgrammingError', 2014) 499
(5,) ((6,),) 1 ((7, 8),) 1 None
('OperationalError', 2013) ('OperationalError', 2006)
('OperationalError', 2013) ('OperationalError', 2006)
('OperationalError', 2006)
Zo'ë 🐍 \ 7 ['t']
"#;
    assert_eq!(printed, expected);
}

#[test]
#[ignore = "needs MariaDB on the machine"]
fn registry_django_and_mariadb() {
    let settings = r#"
import os
SECRET_KEY = 'key'
ROOT_URLCONF = 'urls'
ALLOWED_HOSTS = ['*']
USE_TZ = True
INSTALLED_APPS = [f'django.contrib.{name}' for name in ('admin', 'auth', 'contenttypes', 'sessions', 'messages')] + ['shop']
MIDDLEWARE = ['django.contrib.sessions.middleware.SessionMiddleware', 'django.contrib.auth.middleware.AuthenticationMiddleware', 'django.contrib.messages.middleware.MessageMiddleware']
CONTEXT = ['django.template.context_processors.request', 'django.contrib.auth.context_processors.auth', 'django.contrib.messages.context_processors.messages']
TEMPLATES = [{'BACKEND': 'django.template.backends.django.DjangoTemplates', 'APP_DIRS': True, 'OPTIONS': {'context_processors': CONTEXT}}]
DATABASES = {'default': {
    'ENGINE': 'django.db.backends.mysql', 'NAME': 'app', 'USER': 'person', 'PASSWORD': 'secret',
    'HOST': os.environ.get('SERVER'), 'PORT': os.environ.get('PORT'), 'OPTIONS': {'charset': 'utf8mb4'},
}}
"#;
    let models = r#"
from django.db import models

class Author(models.Model):
    name = models.CharField(max_length=80, unique=True)

class Book(models.Model):
    author = models.ForeignKey(Author, models.CASCADE)
    title = models.TextField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    seen = models.DateTimeField(auto_now_add=True)
    length = models.DurationField()
    data = models.JSONField()
    raw = models.BinaryField()
    ident = models.UUIDField()
"#;
    let app = r#"
import datetime, decimal, os, uuid
os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'
import django; django.setup()
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection, models, transaction
call_command('makemigrations', 'shop', verbosity=0); call_command('migrate', verbosity=0)
from django.contrib.auth.models import User
from django.test import Client
from shop.models import Author, Book

print(len(connection.introspection.table_names()))
author = Author.objects.create(name='Zoë 🐍')
Book.objects.create(author=author, title="'\\\"%s", price=decimal.Decimal('12.50'), length=datetime.timedelta(hours=3), data={'a': [1, 'ü']}, raw=bytes(range(256)), ident=uuid.UUID(int=7))
book = Book.objects.select_related('author').get(title__contains="'\\\"%s", data__a__1='ü')
print(book.author.name, book.price, book.length, book.data, bytes(book.raw) == bytes(range(256)), book.ident.int, book.seen.tzinfo)
with transaction.atomic():
    try:
        with transaction.atomic(): Author.objects.create(name='Zoë 🐍')
    except IntegrityError as error: print(error.args[0])
    Author.objects.create(name='outer')
Author.objects.bulk_create(Author(name=f'n{n}') for n in range(2000))
print(Author.objects.filter(name__startswith='n1').update(name=models.functions.Upper('name')), sum(1 for _ in Author.objects.iterator()))
print(Book.objects.aggregate(models.Sum('price')), list(Book.objects.filter(seen__year__gte=2020).values_list('author__name')))
User.objects.create_superuser('root', password='word')
browser = Client()
print(browser.login(username='root', password='word'), browser.post('/admin/shop/author/add/', {'name': 'by hand'}).status_code, browser.get('/admin/shop/author/?q=').status_code)
print(Author.objects.filter(name='by hand').count())
with connection.cursor() as cursor:
    try: cursor.execute('KILL CONNECTION_ID()')
    except OperationalError as error: print(error.args[0])
# It is told with the next thing sent or with the answer to it.
try: Author.objects.count()
except OperationalError as error: print(error.args[0] in (2006, 2013))
connection.close_if_unusable_or_obsolete()
call_command('flush', interactive=False, verbosity=0); print(Author.objects.count())
"#;
    let printed = run_project(
        &mariadb(),
        &[
            ("app.py", app),
            ("requirements.txt", "django\nmysqlclient\n"),
            ("settings.py", settings),
            (
                "urls.py",
                "from django.contrib import admin\nfrom django.urls import path\nurlpatterns = [path('admin/', admin.site.urls)]\n",
            ),
            ("shop/__init__.py", ""),
            ("shop/models.py", models),
            (
                "shop/admin.py",
                "from django.contrib import admin\nfrom .models import Author, Book\nadmin.site.register([Author, Book])\n",
            ),
            ("shop/migrations/__init__.py", ""),
        ],
    );
    let expected = "12\nZoë 🐍 12.50 3:00:00 {'a': [1, 'ü']} True 7 UTC\n1062\n1111 2002\n{'price__sum': Decimal('12.50')} [('Zoë 🐍',)]\nTrue 302 200\n1\n1927\nTrue\n0\n";
    assert_eq!(printed, expected);
}

#[test]
#[ignore = "needs Redis on the machine"]
fn registry_redis_and_redis() {
    let redis = program("redis-server", "redis-server");
    let (folder, address) = (new_folder(), free_address());
    let mut start = command(&redis, folder.path());
    start.args([
        "--bind".to_owned(),
        address.ip().to_string(),
        "--port".to_owned(),
        address.port().to_string(),
    ]);
    start.args(["--requirepass", "secret", "--save", ""]);
    let server = serve(start, folder, address);
    let printed = client(
        &server,
        "redis\n",
        r#"
import asyncio, os, threading, redis, redis.asyncio

where = {'host': os.environ['SERVER'], 'port': int(os.environ['PORT']), 'decode_responses': True}
try: redis.Redis(**where, password='wrong').ping()
except redis.exceptions.AuthenticationError as error: print(type(error).__name__)
base = redis.Redis(**where, password='secret')
print(base.ping(), base.set('name', 'Zoë', ex=100), base.get('name'), 0 < base.ttl('name') <= 100, base.get('none'))
base.set('big', 'x' * 5_000_000); print(len(base.get('big')))
with base.pipeline() as pipe:
    for n in range(1000): pipe.incr('counter')
    print(pipe.execute()[-1])
heard = base.pubsub(ignore_subscribe_messages=True)
heard.subscribe('news')
def listen():
    for message in heard.listen():
        print(message['data'])
        return
thread = threading.Thread(target=listen); thread.start()
while not base.publish('news', 'hello'): pass
thread.join()
print(base.blpop(['nothing'], timeout=0.1))
async def main():
    async with redis.asyncio.Redis(**where, password='secret') as base:
        print(sum(await asyncio.gather(*(base.incrby('async', 1) for _ in range(50)))))
asyncio.run(main())
"#,
    );
    let expected =
        "AuthenticationError\nTrue True Zoë True None\n5000000\n1000\nhello\nNone\n1275\n";
    assert_eq!(printed, expected);
}

#[test]
#[ignore = "needs RabbitMQ on the machine"]
fn registry_pika_and_rabbitmq() {
    // The wrapper of Debian's packages insists on a user of its own: this is what it runs.
    let broker = program("rabbitmq-server", "rabbitmq-server");
    let broker = match Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server") {
        own if own.is_file() => own.to_owned(),
        _ => broker,
    };
    let (folder, address, other) = (new_folder(), free_address(), free_address());
    let here = folder.path().display().to_string();
    fs::write(
        folder.path().join("rabbitmq.conf"),
        format!("listeners.tcp.1 = {address}\nloopback_users = none\nlog.file = false\nlog.console = true\n"),
    )
    .expect("written");
    let mut start = command(&broker, folder.path());
    start.envs([
        (
            "RABBITMQ_NODENAME",
            format!("test{}@localhost", address.port()),
        ),
        ("RABBITMQ_DIST_PORT", other.port().to_string()),
        ("RABBITMQ_MNESIA_BASE", format!("{here}/mnesia")),
        ("RABBITMQ_LOG_BASE", format!("{here}/log")),
        ("RABBITMQ_CONFIG_FILE", format!("{here}/rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", format!("{here}/plugins")),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
    ]);
    let server = serve(start, folder, address);
    let printed = client(
        &server,
        "pika\n",
        r#"
import os, pika, pika.exceptions

def connect(password='guest'):
    who = pika.PlainCredentials('guest', password)
    return pika.BlockingConnection(pika.ConnectionParameters(os.environ['SERVER'], int(os.environ['PORT']), credentials=who))

try: connect('wrong')
except pika.exceptions.AMQPConnectionError as error: print(type(error).__name__)
link = connect()
channel = link.channel()
channel.queue_declare('work')
channel.confirm_delivery()
for n in range(100):
    channel.basic_publish('', 'work', f'job {n}'.encode() + b' ' * 10_000)
done = []
def take(channel, method, properties, body):
    done.append(body.split(b'  ')[0])
    channel.basic_ack(method.delivery_tag)
    if len(done) == 100: channel.stop_consuming()
channel.basic_consume('work', take)
channel.start_consuming()
print(done[0], done[-1], channel.queue_declare('work', passive=True).method.message_count)
try: channel.queue_declare('nothing', passive=True)
except pika.exceptions.ChannelClosedByBroker as error: print(error.reply_code)
link.close()
"#,
    );
    assert_eq!(
        printed,
        "ProbableAuthenticationError\nb'job 0' b'job 99' 0\n404\n"
    );
}
