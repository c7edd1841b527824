"""The REST service: `app` answers requests, `server` runs it, all else is one idea a file.

`settings` what may be asked of it, `keys` who may ask, `rates` how often, `guard` what is refused
before anything is read, `uploads` videos on their way to a file, `queue` from a file to hashtags,
`schemas` what requests and answers look like, `errors` the one shape of every refusal.
"""
