"""The functions of the default context, flat."""

from procession._compat.contexts import default
from procession._compat.cpus import cpu_count as cpu_count

__all__ = ["Manager", "Pool", "allow_connection_pickling", "cpu_count", "freeze_support", "get_all_start_methods"]
__all__ += ["get_context", "get_logger", "get_start_method", "log_to_stderr", "reducer", "set_executable"]
__all__ += ["set_forkserver_preload", "set_start_method"]

Manager = default.Manager
Pool = default.Pool
allow_connection_pickling = default.allow_connection_pickling
freeze_support = default.freeze_support
get_all_start_methods = default.get_all_start_methods
get_context = default.get_context
get_logger = default.get_logger
get_start_method = default.get_start_method
log_to_stderr = default.log_to_stderr
reducer = default.reducer
set_executable = default.set_executable
set_forkserver_preload = default.set_forkserver_preload
set_start_method = default.set_start_method
