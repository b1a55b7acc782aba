/* inspect/pickle_globals.c - what a pickle may name.
 * GLOBAL_KNOWN is a list of exact names: each makes a value from its arguments and does nothing else. Everything that is not on it is a
 * finding. The list of dangerous modules only makes findings louder: nothing depends on it being complete. */
#include "inspect/pickle_int.h"

/* "module name", in byte order. */
static const char *const known[] = {
    "_codecs encode",
    "collections OrderedDict",
    "collections defaultdict",
    "collections deque",
    "copy_reg _reconstructor",
    "copyreg _reconstructor",
    "datetime date",
    "datetime datetime",
    "datetime time",
    "datetime timedelta",
    "datetime timezone",
    "decimal Decimal",
    "fractions Fraction",
    "joblib.numpy_pickle NumpyArrayWrapper",
    "numpy bool_",
    "numpy complex128",
    "numpy complex64",
    "numpy dtype",
    "numpy float16",
    "numpy float32",
    "numpy float64",
    "numpy int16",
    "numpy int32",
    "numpy int64",
    "numpy int8",
    "numpy ndarray",
    "numpy uint16",
    "numpy uint32",
    "numpy uint64",
    "numpy uint8",
    "numpy._core.multiarray _reconstruct",
    "numpy._core.multiarray scalar",
    "numpy._core.numeric _frombuffer",
    "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy.core.numeric _frombuffer",
    "torch BFloat16Storage",
    "torch BoolStorage",
    "torch ByteStorage",
    "torch CharStorage",
    "torch ComplexDoubleStorage",
    "torch ComplexFloatStorage",
    "torch DoubleStorage",
    "torch FloatStorage",
    "torch HalfStorage",
    "torch IntStorage",
    "torch LongStorage",
    "torch QInt32Storage",
    "torch QInt8Storage",
    "torch QUInt2x4Storage",
    "torch QUInt4x2Storage",
    "torch QUInt8Storage",
    "torch ShortStorage",
    "torch Size",
    "torch bfloat16",
    "torch bool",
    "torch complex128",
    "torch complex64",
    "torch device",
    "torch float16",
    "torch float32",
    "torch float64",
    "torch float8_e4m3fn",
    "torch float8_e5m2",
    "torch int16",
    "torch int32",
    "torch int64",
    "torch int8",
    "torch uint8",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch.storage TypedStorage",
    "torch.storage UntypedStorage",
    "uuid UUID",
};

/* A module and all below it, in byte order. */
static const char *const dangerous[] = {
    "IPython",
    "_aix_support",
    "_bootsubprocess",
    "_ctypes",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "_imp",
    "_io",
    "_operator",
    "_osx_support",
    "_pickle",
    "_posixsubprocess",
    "_pyrepl",
    "_signal",
    "_socket",
    "_sqlite3",
    "_thread",
    "_weakref",
    "aiohttp",
    "apt",
    "ast",
    "asyncio",
    "atexit",
    "bdb",
    "cPickle",
    "cProfile",
    "cgitb",
    "cloudpickle",
    "code",
    "codeop",
    "commands",
    "compileall",
    "concurrent",
    "ctypes",
    "difflib",
    "dill",
    "distutils",
    "doctest",
    "ensurepip",
    "faulthandler",
    "filecmp",
    "fileinput",
    "ftplib",
    "functools",
    "gc",
    "glob",
    "http",
    "httplib",
    "httpx",
    "idlelib",
    "imaplib",
    "imp",
    "importlib",
    "inspect",
    "io",
    "joblib",
    "keras",
    "lib2to3",
    "linecache",
    "logging",
    "marshal",
    "mlflow",
    "mmap",
    "modulefinder",
    "multiprocessing",
    "nntplib",
    "nt",
    "ntpath",
    "numpy.distutils",
    "numpy.f2py",
    "numpy.lib.npyio",
    "numpy.testing",
    "operator",
    "os",
    "pandas.io",
    "pdb",
    "pexpect",
    "pickle",
    "pip",
    "pkg_resources",
    "pkgutil",
    "platform",
    "popen2",
    "poplib",
    "posix",
    "posixpath",
    "profile",
    "psutil",
    "pty",
    "py_compile",
    "pydoc",
    "requests",
    "runpy",
    "sched",
    "select",
    "selectors",
    "setuptools",
    "shelve",
    "shutil",
    "signal",
    "site",
    "smtplib",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "syslog",
    "tarfile",
    "telnetlib",
    "tempfile",
    "tensorflow",
    "test",
    "threading",
    "timeit",
    "tkinter",
    "torch._dynamo",
    "torch._inductor",
    "torch._tensor",
    "torch.compile",
    "torch.distributed",
    "torch.fx",
    "torch.hub",
    "torch.jit",
    "torch.package",
    "torch.serialization",
    "torch.storage",
    "torch.utils",
    "trace",
    "types",
    "unittest",
    "urllib",
    "urllib2",
    "uuid",
    "venv",
    "weakref",
    "webbrowser",
    "winreg",
    "xmlrpc",
    "zipfile",
    "zipimport",
};

/* Of builtins: makes a plain value. Not on the list of known ones all the same: its argument may be endless. */
static const char *const plain_builtins[] = { "bool",  "bytearray", "bytes", "complex", "dict",
                                              "float", "frozenset", "int",   "list",    "object",
                                              "range", "set",       "slice", "str",     "tuple" };

static bool is_known(struct str module, struct str name)
{
    size_t lo = 0, hi = ARRAY_N(known);

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        struct str row = str_cstr(known[mid]), m = row, n;
        int order;

        m.n = str_find_byte(row, ' ', 0);
        n = str_sub(row, m.n + 1, row.n);
        order = str_cmp(module, m);
        order = order ? order : str_cmp(name, n);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return false;
}

static bool is_listed(const char *const *rows, size_t n, struct str text)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(str_cstr(rows[i]), text)) {
            return true;
        }
    }
    return false;
}

static bool is_exception(struct str name)
{
    return str_ends(name, S("Error")) || str_ends(name, S("Exception")) ||
           str_ends(name, S("Warning"));
}

enum verdict pickle_verdict(struct str module, struct str name)
{
    if (is_known(module, name)) {
        return GLOBAL_KNOWN;
    }
    if (str_eq_lit(module, "builtins") || str_eq_lit(module, "__builtin__") ||
        str_eq_lit(module, "__builtins__")) {
        return is_listed(plain_builtins, ARRAY_N(plain_builtins), name) || is_exception(name)
                   ? GLOBAL_UNKNOWN
                   : GLOBAL_DANGER;
    }
    for (struct str m = module; m.n;) {
        if (is_listed(dangerous, ARRAY_N(dangerous), m)) {
            return GLOBAL_DANGER;
        }
        while (m.n && m.p[m.n - 1] != '.') {
            m.n--;
        }
        m.n -= m.n > 0;
    }
    /* a dotted name walks attributes: modules.os.system */
    return str_find_byte(name, '.', 0) != SIZE_MAX || str_starts(name, S("__")) ? GLOBAL_DANGER
                                                                                : GLOBAL_UNKNOWN;
}
