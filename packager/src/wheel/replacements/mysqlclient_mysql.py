"""The native part of mysqlclient, in Python: what MySQLdb takes from the library of MySQL in C.

That library cannot be linked here. This takes the place of `MySQLdb/_mysql`, with the same interface, so that the other
files of mysqlclient run as they are. Packets and passwords are PyMySQL's work; what is sent when, what an answer means
and which error it is are told here.
"""

import os
import socket
import ssl as tls
import threading
import warnings
from functools import wraps

import pymysql
from pymysql.charset import charset_by_name
from pymysql.connections import Connection
from pymysql.constants import CLIENT, COMMAND, CR, ER, FIELD_TYPE, FLAG, SERVER_STATUS
from pymysql.optionfile import Parser

from ._exceptions import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    MySQLError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from .release import __version__, version_info

# The class of an error by its number. Of the others, those below 1000 are internal, the rest operational.
_ERRORS = {
    number: kind
    for kind, numbers in {
        InterfaceError: [0],
        ProgrammingError: [
            CR.CR_COMMANDS_OUT_OF_SYNC,
            ER.CANT_DO_THIS_DURING_AN_TRANSACTION,
            ER.DB_CREATE_EXISTS,
            ER.FIELD_SPECIFIED_TWICE,
            ER.INVALID_GROUP_FUNC_USE,
            ER.NO_SUCH_TABLE,
            ER.PARSE_ERROR,
            ER.SYNTAX_ERROR,
            ER.TABLE_MUST_HAVE_COLUMNS,
            ER.UNSUPPORTED_EXTENSION,
            ER.WRONG_DB_NAME,
            ER.WRONG_TABLE_NAME,
        ],
        DataError: [
            ER.DATA_TOO_LONG,
            ER.DATETIME_FUNCTION_OVERFLOW,
            ER.NO_DEFAULT,
            ER.PRIMARY_CANT_HAVE_NULL,
            ER.WARN_DATA_OUT_OF_RANGE,
            ER.WARN_DATA_TRUNCATED,
            ER.WARN_NULL_TO_NOTNULL,
        ],
        IntegrityError: [
            ER.BAD_NULL_ERROR,
            ER.CANNOT_ADD_FOREIGN,
            ER.DUP_ENTRY,
            ER.DUP_UNIQUE,
            ER.NO_DEFAULT_FOR_FIELD,
            ER.NO_REFERENCED_ROW,
            ER.NO_REFERENCED_ROW_2,
            ER.ROW_IS_REFERENCED,
            ER.ROW_IS_REFERENCED_2,
        ],
        NotSupportedError: [
            ER.FEATURE_DISABLED,
            ER.NOT_SUPPORTED_YET,
            ER.UNKNOWN_STORAGE_ENGINE,
            ER.WARNING_NOT_COMPLETE_ROLLBACK,
        ],
    }.items()
    for number in numbers
}

_SSL_MODES = "DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"
_SSL_FILES = "ca", "capath", "cert", "key", "cipher"
_OPTION_FILES = "/etc/my.cnf", "/etc/mysql/my.cnf", "~/.my.cnf"
_OPTIONS = "host", "port", "socket", "user", "password", "database", "default-character-set"
_OPTIONS += tuple(f"ssl-{name}" for name in _SSL_FILES)

# The most bytes of a character, where it is not one.
_WIDTHS = {"utf8mb4": 4, "utf8mb3": 3, "gb18030": 4, "eucjpms": 3, "ujis": 3}
_WIDTHS |= dict.fromkeys(["big5", "cp932", "euckr", "gb2312", "gbk", "sjis"], 2)
# Character sets of which a byte that looks like a backslash may be half of a character.
_WITH_BACKSLASHES = {"big5", "cp932", "gb18030", "gbk", "sjis"}

# The backslash first: the others bring new ones.
_ESCAPES = {"\\": "\\\\", "\0": "\\0", "\n": "\\n", "\r": "\\r", "'": "\\'", '"': '\\"', "\x1a": "\\Z"}
_BYTE_ESCAPES = [(plain.encode(), escaped.encode()) for plain, escaped in _ESCAPES.items()]
# A byte that is no character must not take the one after it into a character.
_CHARACTER_ESCAPES = str.maketrans(_ESCAPES | {chr(0xDC00 + byte): "\\" + chr(0xDC00 + byte) for byte in range(128, 256)})

_NUMBERS = {
    FIELD_TYPE.DECIMAL,
    FIELD_TYPE.TINY,
    FIELD_TYPE.SHORT,
    FIELD_TYPE.LONG,
    FIELD_TYPE.FLOAT,
    FIELD_TYPE.DOUBLE,
    FIELD_TYPE.NULL,
    FIELD_TYPE.LONGLONG,
    FIELD_TYPE.INT24,
    FIELD_TYPE.YEAR,
    FIELD_TYPE.NEWDECIMAL,
}
# Their converters are given text; those of all others, bytes.
_READ_AS_TEXT = {
    FIELD_TYPE.DECIMAL,
    FIELD_TYPE.NEWDECIMAL,
    FIELD_TYPE.TIMESTAMP,
    FIELD_TYPE.DATETIME,
    FIELD_TYPE.TIME,
    FIELD_TYPE.DATE,
}
_BINARY_CHARSET = 63
_NUMBER_FLAG = 32768


def get_client_info():
    # Old releases compare the first two numbers and look for what MySQL 5 brought.
    return f"8.0.0-pymysql-{pymysql.VERSION_STRING}"


def debug(text):
    """Sets up what only a debug build of the library in C writes."""


def connect(*args, **kwargs):
    return connection(*args, **kwargs)


def escape_string(text):
    return _escaped(_bytes(text))


def string_literal(value):
    return b"'%s'" % _escaped(_plain(value, "utf8"))


def escape(value, converters):
    return _escape(value, converters, string_literal)


def _escape(value, converters, literal):
    try:
        convert = converters[type(value)]
    except LookupError:
        return literal(value)
    return convert(value, converters)


def _escaped(data, charset="utf8mb4", with_backslashes=True):
    if not with_backslashes:
        return data.replace(b"'", b"''")
    if charset in _WITH_BACKSLASHES:
        return data.decode(charset, "surrogateescape").translate(_CHARACTER_ESCAPES).encode(charset, "surrogateescape")
    for plain, escaped in _BYTE_ESCAPES:
        data = data.replace(plain, escaped)
    return data


def _plain(value, encoding):
    return bytes(value) if isinstance(value, (bytes, bytearray)) else str(value).encode(encoding)


def _bytes(text):
    return text.encode() if isinstance(text, str) else bytes(text)


def _options_of(file, group):
    """What the option files say to clients, where they are asked for."""
    if not file and not group:
        return {}
    parser = Parser(strict=False)
    parser.read(os.path.expanduser(path) for path in ([file] if file else _OPTION_FILES))
    sections = [section for section in ("client", group) if section and parser.has_section(section)]
    return {key: parser.get(section, key) for section in sections for key in _OPTIONS if parser.has_option(section, key)}


def _ssl_mode(ssl, mode):
    if mode is not None:
        if mode not in _SSL_MODES:
            raise NotSupportedError("Unknown ssl_mode specification")
        return mode
    if ssl is None or hasattr(ssl, "keys"):
        return "PREFERRED"
    return "REQUIRED" if ssl else "DISABLED"


def _tls_context(mode, files):
    if mode == "DISABLED":
        return None
    authorities = {"cafile": files["ca"], "capath": files["capath"]}
    has_authorities = any(authorities.values())
    try:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.check_hostname = mode == "VERIFY_IDENTITY"
        if has_authorities:
            context.load_verify_locations(**authorities)
        elif mode.startswith("VERIFY"):
            context.load_default_certs()
        else:
            context.verify_mode = tls.CERT_NONE
        if files["cert"] or files["key"]:
            context.load_cert_chain(files["cert"] or files["key"], files["key"])
        if files["cipher"]:
            context.set_ciphers(files["cipher"])
    except OSError as error:
        named = ", ".join(filter(None, files.values()))
        raise OperationalError(CR.CR_SSL_CONNECTION_ERROR, f"SSL connection error: {error} ({named})") from None
    return context


class _Wire(Connection):
    """A connection of PyMySQL, of which only the packets are used."""

    def __init__(self, *, tls_mode, tls_context, auth_plugin, connect_timeout, **options):
        super().__init__(defer_connect=True, autocommit=None, ssl_disabled=True, **options)
        # Without one, that of the system holds.
        self.connect_timeout = connect_timeout or None
        self.ctx = tls_context
        self._tls_is_required = tls_mode not in ("DISABLED", "PREFERRED")
        self._wanted_plugin = auth_plugin

    def set_character_set(self, charset, collation=None):
        """Nothing: the answer to the greeting named it, and MySQLdb sets it again."""

    def _get_server_information(self):
        # Who waits for a connection waits for the greeting, too.
        own_timeout, self._read_timeout = self._read_timeout, self.connect_timeout or self._read_timeout
        super()._get_server_information()
        self._read_timeout = own_timeout
        is_offered = self.server_capabilities & CLIENT.SSL
        if self._tls_is_required and not is_offered:
            text = "SSL connection error: SSL is required but the server doesn't support it"
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, text)
        self.ssl = bool(self.ctx and is_offered)
        if self.ssl:
            self.client_flag |= CLIENT.SSL
        self._auth_plugin_name = self._wanted_plugin or self._auth_plugin_name

    def _process_auth(self, plugin_name, auth_packet, *handler):
        # Whoever answers in the server's place could ask for it.
        allowed = self._secure or os.environ.get("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "0")[:1] in "1Yy"
        if plugin_name == b"mysql_clear_password" and not allowed:
            text = "Authentication plugin 'mysql_clear_password' cannot be loaded: plugin not enabled"
            raise pymysql.err.OperationalError(CR.CR_AUTH_PLUGIN_CANNOT_LOAD, text)
        try:
            return super()._process_auth(plugin_name, auth_packet, *handler)
        except RuntimeError as error:
            # It lacks a package, as pynacl for MariaDB's ed25519.
            text = f"Authentication plugin '{plugin_name.decode()}' cannot be loaded: {error}"
            raise pymysql.err.OperationalError(CR.CR_AUTH_PLUGIN_CANNOT_LOAD, text) from None


def _exclusive(method):
    """A method of a connection or a result for which the connection must be open and in no other thread's use."""

    @wraps(method)
    def run(self, *args, **kwargs):
        owner = self._owner
        if not owner._lock.acquire(blocking=False):
            raise ProgrammingError("this connection is already in use by another thread: every thread needs one of its own")
        try:
            if not owner.open:
                raise OperationalError(CR.CR_SERVER_GONE_ERROR, "")
            return method(self, *args, **kwargs)
        except pymysql.err.MySQLError as error:
            raise owner._broken_off(error) from None
        finally:
            owner._lock.release()

    return run


class connection:
    _wire = None
    converter = None

    def __init__(
        self,
        host=None,
        user=None,
        password=None,
        database=None,
        port=0,
        unix_socket=None,
        conv=None,
        connect_timeout=0,
        compress=-1,  # An offer: it works without.
        named_pipe=-1,  # Of Windows.
        init_command=None,
        read_default_file=None,
        read_default_group=None,
        client_flag=0,
        ssl=None,
        ssl_mode=None,
        local_infile=-1,
        read_timeout=0,
        write_timeout=0,
        charset=None,
        auth_plugin=None,
        server_public_key_path=None,
        local_infile_dir=None,
        *,
        # Their names up to 2.0.
        passwd=None,
        db=None,
    ):
        self._lock = threading.RLock()
        options = _options_of(read_default_file, read_default_group)
        paths = ssl if hasattr(ssl, "keys") else {}
        files = {name: paths.get(name) or options.get(f"ssl-{name}") for name in _SSL_FILES}
        mode = _ssl_mode(ssl, ssl_mode)
        self._charset = self._known_charset(charset or options.get("default-character-set") or "utf8mb4")
        self._init_command = init_command
        self._loads_any_file = local_infile > 0 or bool(client_flag & CLIENT.LOCAL_FILES)
        self._loads_from = local_infile_dir
        if self._loads_any_file or self._loads_from:
            client_flag |= CLIENT.LOCAL_FILES
        self._settings = {
            "host": host or options.get("host"),
            "port": int(port or options.get("port") or 0),
            "unix_socket": unix_socket or options.get("socket"),
            "user": _bytes(user or options.get("user") or os.environ.get("USER") or "UNKNOWN_USER"),
            "password": _bytes(password or passwd or options.get("password") or b""),
            "database": _bytes(database or db or options.get("database") or b""),
            "charset": self._charset.name,
            "client_flag": client_flag & ~(CLIENT.COMPRESS | CLIENT.SSL),
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout or None,
            "write_timeout": write_timeout or None,
            "auth_plugin": auth_plugin,
            "tls_mode": mode,
            "tls_context": _tls_context(mode, files),
        }
        if server_public_key_path:
            with open(server_public_key_path, "rb") as key:
                self._settings["server_public_key"] = key.read()
        self._connect(self._settings)
        self.converter = {} if conv is None else conv

    @property
    def _owner(self):
        return self

    # What is between this and the server.

    def _connect(self, settings):
        path, host = settings["unix_socket"], settings["host"]
        if path and host in (None, "localhost") and not hasattr(socket, "AF_UNIX"):
            text = f"Can't connect to local MySQL server through socket '{path}': the sandbox has no such sockets, give a host and a port"
            raise self._failed(CR.CR_CONNECTION_ERROR, text)
        if host:
            settings = settings | {"unix_socket": None}
        self._settings = settings
        wire = _Wire(**settings)
        try:
            wire.connect()
            self._wire = wire
            self._status = wire.server_status
            self._expected = self._unread = None
            self._forget()
            if self._init_command:
                self._query(_bytes(self._init_command))
                self._skip_results()
        except pymysql.err.MySQLError as error:
            self._wire = None
            raise self._broken_off(error) from None

    def _forget(self):
        """What an answer told: it is that to the last command."""
        self._error = 0, "", "00000"
        self._affected, self._insert_id, self._warnings, self._columns, self._info = -1, 0, 0, 0, None

    def _failed(self, number, text, state="HY000"):
        self._error = number, text, state
        kind = _ERRORS.get(number, InternalError if number < 1000 else OperationalError)
        return kind(number, text)

    def _broken_off(self, error):
        """The error for one of PyMySQL's, after which nothing more comes."""
        self._expected = self._unread = None
        if self._wire:
            self._status &= ~SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS
        number, text = error.args if len(error.args) == 2 else (CR.CR_UNKNOWN_ERROR, str(error))
        reason = getattr(error, "original_exception", None)
        if isinstance(reason, tls.SSLError):
            number, text = CR.CR_SSL_CONNECTION_ERROR, f"SSL connection error: {reason}"
        elif isinstance(reason, socket.gaierror):
            number, text = CR.CR_UNKNOWN_HOST, f"Unknown MySQL server host '{self._settings['host']}' ({reason.errno})"
        return self._failed(number, text, getattr(error, "sqlstate", None) or "HY000")

    def _out_of_sync(self):
        return self._failed(CR.CR_COMMANDS_OUT_OF_SYNC, "Commands out of sync; you can't run this command now")

    def _has_more(self):
        return bool(self._status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS)

    @property
    def _live(self):
        """The connection of PyMySQL, unless it was lost."""
        if not self._wire.open:
            raise self._failed(CR.CR_SERVER_GONE_ERROR, "MySQL server has gone away")
        return self._wire

    def _begin(self):
        """What stands before every command: the last one's answer was read to its end."""
        wire = self._live
        if self._expected or self._unread or self._has_more():
            raise self._out_of_sync()
        self._forget()
        return wire

    def _send(self, command, data=b""):
        self._begin()._execute_command(command, data)

    def _simple(self, command, data=b""):
        self._send(command, data)
        packet = self._wire._read_packet()
        if packet.is_eof_packet():
            self._read_end(packet)
        else:
            self._read_ok(packet)

    def _query(self, sql):
        self._send(COMMAND.COM_QUERY, sql)
        self._read_answer()

    def _read_answer(self):
        packet = self._live._read_packet()
        if packet.is_load_local_packet():
            packet = self._load_file(os.fsdecode(packet.get_all_data()[1:]))
        if packet.is_ok_packet():
            self._read_ok(packet)
        else:
            self._columns = packet.read_length_encoded_integer()
            self._expected = [_Field(self._wire._read_packet()) for _ in range(self._columns)]
            self._read_end(self._wire._read_packet())

    def _read_ok(self, packet):
        packet.advance(1)
        self._affected = packet.read_length_encoded_integer()
        self._insert_id = packet.read_length_encoded_integer()
        self._status, self._warnings = packet.read_struct("<HH")
        try:
            self._info = packet.read_length_coded_string().decode("utf8", "replace")
        except IndexError:
            pass

    def _read_end(self, packet):
        self._warnings, self._status = packet.read_struct("<xHH")

    def _read_row(self):
        """The next row of the result that is under way; None behind the last."""
        packet = self._live._read_packet()
        if packet.is_eof_packet():
            self._read_end(packet)
            return None
        return _values(packet.get_all_data())

    def _load_file(self, path):
        """Sends a file that the server asks for, if it may have it."""
        problem = None
        if self._may_load(path):
            try:
                with open(path, "rb") as file:
                    while part := file.read(1 << 16):
                        self._wire.write_packet(part)
            except OSError as error:
                problem = error.errno, f"File '{path}' not found (OS errno {error.errno} - {error.strerror})"
        else:
            problem = CR.CR_LOAD_DATA_LOCAL_INFILE_REJECTED, "LOAD DATA LOCAL INFILE file request rejected due to restrictions on access."
        self._wire.write_packet(b"")
        packet = self._wire._read_packet()
        if problem:
            self._read_ok(packet)
            raise self._failed(*problem)
        return packet

    def _may_load(self, path):
        if self._loads_any_file or not self._loads_from:
            return self._loads_any_file
        folder, path = os.path.realpath(self._loads_from), os.path.realpath(path)
        return os.path.commonpath([folder, path]) == folder

    def _skip_results(self):
        while True:
            if self._expected:
                result(self, 0)
            if not self._has_more():
                return
            self._read_answer()

    def _known_charset(self, name):
        charset = charset_by_name(name)
        if charset is None:
            raise self._failed(CR.CR_CANT_READ_CHARSET, f"Can't initialize character set {name} (path: compiled_in)")
        return charset

    # What the connection is.

    @property
    def open(self):
        return int(self._wire is not None)

    @property
    def closed(self):
        return int(self._wire is None)

    @property
    def port(self):
        return self._wire.port if self._wire else 0

    @property
    def client_flag(self):
        return self._wire.client_flag if self._wire else 0

    @property
    def server_capabilities(self):
        return self._wire.server_capabilities if self._wire else 0

    def __repr__(self):
        state = f"open to '{self._wire.host}'" if self._wire else "closed"
        return f"<_mysql.connection {state} at {id(self):#x}>"

    @_exclusive
    def close(self):
        wire, self._wire, self.converter = self._wire, None, None
        wire.close()

    @_exclusive
    def fileno(self):
        return self._wire._sock.fileno()

    @_exclusive
    def thread_id(self):
        return self._wire.thread_id()

    @_exclusive
    def get_host_info(self):
        return f"{self._wire.host} via TCP/IP"

    @_exclusive
    def get_proto_info(self):
        return self._wire.protocol_version

    @_exclusive
    def get_server_info(self):
        # What MariaDB puts before its version is for old replicas.
        return self._wire.server_version.removeprefix("5.5.5-")

    @_exclusive
    def character_set_name(self):
        return self._charset.name

    @_exclusive
    def get_character_set_info(self):
        name, width = self._charset.name, _WIDTHS.get(self._charset.name, 1)
        return {"name": name, "collation": self._charset.collation, "comment": "", "mbminlen": 1, "mbmaxlen": width}

    @_exclusive
    def set_character_set(self, name):
        charset = self._known_charset(name)
        self._query(f"SET NAMES {name}".encode())
        self._charset = charset

    # Commands.

    @_exclusive
    def query(self, sql):
        self._query(_bytes(sql))

    @_exclusive
    def send_query(self, sql):
        self._send(COMMAND.COM_QUERY, _bytes(sql))

    @_exclusive
    def read_query_result(self):
        self._read_answer()

    @_exclusive
    def autocommit(self, on):
        self._query(b"SET autocommit=%d" % bool(on))

    @_exclusive
    def get_autocommit(self):
        return bool(self._status & SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT)

    @_exclusive
    def commit(self):
        self._query(b"COMMIT")

    @_exclusive
    def rollback(self):
        self._query(b"ROLLBACK")

    @_exclusive
    def select_db(self, name):
        self._simple(COMMAND.COM_INIT_DB, _bytes(name))

    @_exclusive
    def change_user(self, user, passwd=None, db=None):
        # A new connection, for all that the session had is lost with that command, too.
        who = {"user": _bytes(user), "password": _bytes(passwd or b""), "database": _bytes(db or b"")}
        wire, status, settings = self._begin(), self._status, self._settings
        try:
            self._connect(settings | who)
        except MySQLError:
            self._wire, self._status, self._settings = wire, status, settings
            raise
        wire.close()

    @_exclusive
    def ping(self, reconnect=None):
        if reconnect is not None:
            warnings.warn("the reconnect parameter of ping() is deprecated", DeprecationWarning, stacklevel=3)
        try:
            self._simple(COMMAND.COM_PING)
        except (OperationalError, pymysql.err.OperationalError):
            if not reconnect:
                raise
            self._connect(self._settings)

    @_exclusive
    def kill(self, thread):
        self._query(b"KILL %d" % thread)

    @_exclusive
    def shutdown(self):
        self._query(b"SHUTDOWN")

    @_exclusive
    def stat(self):
        self._send(COMMAND.COM_STATISTICS)
        return self._wire._read_packet().get_all_data().decode("utf8", "replace")

    @_exclusive
    def dump_debug_info(self):
        self._simple(COMMAND.COM_DEBUG)

    @_exclusive
    def set_server_option(self, option):
        self._simple(COMMAND.COM_SET_OPTION, option.to_bytes(2, "little"))
        return 0

    # What came of the last one.

    @_exclusive
    def affected_rows(self):
        return self._affected

    @_exclusive
    def insert_id(self):
        return self._insert_id

    @_exclusive
    def info(self):
        return self._info

    @_exclusive
    def warning_count(self):
        return self._warnings

    @_exclusive
    def field_count(self):
        return self._columns

    @_exclusive
    def errno(self):
        return self._error[0]

    @_exclusive
    def error(self):
        return self._error[1]

    @_exclusive
    def sqlstate(self):
        return self._error[2]

    @_exclusive
    def store_result(self):
        return self._result(0)

    @_exclusive
    def use_result(self):
        return self._result(1)

    @_exclusive
    def discard_result(self):
        found = self._result(1)
        if found:
            found.discard()

    def _result(self, use):
        if self._unread:
            raise self._out_of_sync()
        return result(self, use, self.converter) if self._expected else None

    @_exclusive
    def more_results(self):
        return self._has_more()

    @_exclusive
    def next_result(self):
        if self._expected or self._unread:
            raise self._out_of_sync()
        self._forget()
        if not self._has_more():
            return -1
        self._read_answer()
        return 0

    # Literals. They need no server.

    def escape_string(self, text):
        return self._escape_bytes(_bytes(text))

    def string_literal(self, value):
        return b"'%s'" % self._escape_bytes(_plain(value, self._charset.encoding if self._wire else "utf8"))

    def escape(self, value, converters=None):
        if converters is None:
            converters = self.converter
        if converters is None:
            raise OperationalError(CR.CR_SERVER_GONE_ERROR, "")
        return _escape(value, converters, self.string_literal)

    def _escape_bytes(self, data):
        if not self._wire:
            return _escaped(data)
        off = self._status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
        return _escaped(data, self._charset.name, not off)


_Connection = connection  # Under this name where an argument has the other.


class _Field:
    """What the server tells of a column."""

    def __init__(self, packet):
        # The catalogue and the database.
        packet.read_length_coded_string(), packet.read_length_coded_string()
        self.table = packet.read_length_coded_string()
        packet.read_length_coded_string()
        self.name = packet.read_length_coded_string()
        packet.read_length_coded_string()
        self.charset, self.length, self.type, self.flags, self.decimals = packet.read_struct("<xHIBHBxx")
        if self.type in _NUMBERS:
            self.flags |= _NUMBER_FLAG

    def converter(self, converters):
        """The one for its type; of several, the first that its flags call for."""
        try:
            found = converters[self.type]
        except KeyError:
            return None
        if not isinstance(found, (list, tuple)):
            return found
        # The flag says of text that it is compared by its bytes: what is binary has a character set of its own.
        flags = self.flags | FLAG.BINARY if self.charset == _BINARY_CHARSET else self.flags & ~FLAG.BINARY
        fitting = (convert for mask, convert in found if not isinstance(mask, int) or mask & flags)
        return next(fitting, None)

    def reader(self, converter, encoding):
        """Makes of what the server sent what the app is given; None if that is the same."""
        if converter is None or converter is bytes:
            return None
        if converter is str:
            return lambda data: data.decode(encoding)
        if converter is not int and self.type in _READ_AS_TEXT:
            return lambda data: converter(data.decode())
        return converter


def _values(row):
    """The columns of a row as they came, None for NULL."""
    values, at, end = [], 0, len(row)
    while at < end:
        size = row[at]
        at += 1
        if size == 251:
            values.append(None)
            continue
        if size > 251:
            width = {252: 2, 253: 3, 254: 8}[size]
            size = int.from_bytes(row[at : at + width], "little")
            at += width
        values.append(row[at : at + size])
        at += size
    return values


class result:
    _rows = _owner = None

    def __init__(self, connection, use=0, converter={}):
        if not isinstance(connection, _Connection):
            raise TypeError(f"a result needs a connection, not {type(connection).__name__}")
        if self._owner is not None:
            raise ProgrammingError("the result is already initialized")
        self._owner = connection
        self._encoding = connection._charset.encoding
        self._fields = connection._expected or []
        self.converter = tuple(field.converter(converter) for field in self._fields)
        self._readers = [field.reader(convert, self._encoding) for field, convert in zip(self._fields, self.converter)]
        self._at = 0
        self._widths = [0] * len(self._fields)
        connection._expected = None
        if use:
            # The columns stand for the result: the connection must not keep it alive.
            connection._unread = self._fields
        elif self._fields:
            self._rows = []
            while (row := connection._read_row()) is not None:
                self._rows.append(row)
            connection._affected = len(self._rows)
            self._widths = [max(map(len, filter(None, column)), default=0) for column in zip(*self._rows)] or self._widths
        self.has_next = connection._has_more()

    def __repr__(self):
        return f"<_mysql.result object at {id(self):#x}>"

    def __del__(self):
        # The connection is of no use before all rows have come.
        if self._owner is not None and self._is_under_way():
            try:
                with self._owner._lock:
                    self.discard()
            except MySQLError:
                pass

    def _is_under_way(self):
        return self._owner._unread is self._fields

    def _next(self):
        """The next row, None behind the last."""
        if self._rows is not None:
            row = self._rows[self._at] if self._at < len(self._rows) else None
        else:
            row = self._owner._read_row() if self._is_under_way() else None
            if row is None and self._is_under_way():
                self._owner._unread = None
        self._at += row is not None
        return row

    def _read(self, row):
        return [value if value is None or read is None else read(value) for value, read in zip(row, self._readers)]

    def _keys(self, how):
        """The names of columns in a row that is a dictionary: those of twice the same name with their tables'."""
        keys = []
        for field in self._fields:
            name = field.name.decode()
            if field.table and how == 2 or how == 1 and name in keys:
                name = f"{field.table.decode()}.{name}"
            keys.append(name)
        return keys

    @_exclusive
    def fetch_row(self, maxrows=1, how=0):
        if not 0 <= how <= 2:
            raise ValueError("how out of range")
        keys = self._keys(how) if how else None
        rows = []
        while not maxrows or len(rows) < maxrows:
            row = self._next()
            if row is None:
                break
            values = self._read(row)
            rows.append(dict(zip(keys, values)) if how else tuple(values))
        return tuple(rows)

    @_exclusive
    def discard(self):
        while self._next() is not None:
            pass

    @_exclusive
    def data_seek(self, row):
        if self._rows is not None:
            self._at = row

    @_exclusive
    def describe(self):
        return tuple(
            (
                field.name.decode(self._encoding, "replace"),
                field.type,
                width,
                field.length,
                field.length,
                field.decimals,
                int(not field.flags & FLAG.NOT_NULL),
            )
            for field, width in zip(self._fields, self._widths)
        )

    @_exclusive
    def field_flags(self):
        return tuple(field.flags for field in self._fields)

    @_exclusive
    def num_fields(self):
        return len(self._fields)

    @_exclusive
    def num_rows(self):
        return self._at if self._rows is None else len(self._rows)
