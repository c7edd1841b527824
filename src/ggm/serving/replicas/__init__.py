"""The service with its work done by replicas, on as many machines as there are.

The application is that of `ggm.serving.service`; `queue` is its other back end. `stages` says what the
work is, `settings` how many do it, and `graph` alone knows Ray Serve.
"""
