"""The default of each hook: it does nothing, `pre_request` and `ssl_context` aside.

A hook's qualified name (`OnStarting.on_starting`) is its text in `--print-config`. That a setting
still holds the function from here tells the engine that it need not call it.
"""


class OnStarting:
    def on_starting(server):
        pass


class OnReload:
    def on_reload(server):
        pass


class WhenReady:
    def when_ready(server):
        pass


class Prefork:
    def pre_fork(server, worker):
        pass


class Postfork:
    def post_fork(server, worker):
        pass


class PostWorkerInit:
    def post_worker_init(worker):
        pass


class WorkerInt:
    def worker_int(worker):
        pass


class WorkerAbort:
    def worker_abort(worker):
        pass


class PreExec:
    def pre_exec(server):
        pass


class PreRequest:
    def pre_request(worker, req):
        worker.log.debug("%s %s", req.method, req.path)


class PostRequest:
    def post_request(worker, req, environ, resp):
        pass


class ChildExit:
    def child_exit(server, worker):
        pass


class WorkerExit:
    def worker_exit(server, worker):
        pass


class NumWorkersChanged:
    def nworkers_changed(server, new_value, old_value):
        pass


class OnExit:
    def on_exit(server):
        pass


class NewSSLContext:
    def ssl_context(config, default_ssl_context_factory):
        return default_ssl_context_factory()


class OnDirtyStarting:
    def on_dirty_starting(arbiter):
        pass


class DirtyPostFork:
    def dirty_post_fork(arbiter, worker):
        pass


class DirtyWorkerInit:
    def dirty_worker_init(worker):
        pass


class DirtyWorkerExit:
    def dirty_worker_exit(arbiter, worker):
        pass
