"""Tests of the tinker backend with the real client, against the server that `server.py` starts.

What was measured of the client, release 0.38.0, and what the backend is built on:

- Every call returns an APIFuture: `await f`, `f.result(timeout)` or `f.future()`; `create_*` too. The `*_async` methods
  are deprecated. ServiceClient ignores unknown keyword arguments with a warning.
- The service works in cycles of about 10 s, and a missed cycle costs a whole one: submit `forward_backward` and
  `optim_step` before waiting for either, and the next batch before waiting for this one. The client allows 2,000
  samples in flight.
- cross_entropy is a sum over weighted tokens, not a mean; it takes `weights` (N,) or soft targets (N, K).
- The constructor blocks on a server that cannot be reached: over 25 s measured, up to 300 s by its code. So the backend
  tries the address first.
- `.result(timeout)` does not cancel: the client continues to poll. It retries a 5xx on retrieval at once, without a pause.
- After a training request that failed (with 422, for example) the client's sequence has a gap. Every later call can fail,
  and an `optim_step` sent after it can still run. Discard that client and resume from the last `save_state`.
- Errors are TinkerError (APIStatusError with its subclasses, APIConnectionError, APITimeoutError, RequestFailedError),
  but also ValueError (400, 404, 409) and RetryableException. A wrong key gives 403; a key that does not begin with
  `tml-` gives a TinkerError at once.
- Weights are downloaded through `save_weights_external` and `get_external_weights_urls`, one signed URL per file; a
  sampler checkpoint cannot be downloaded, a state (`weights/...`) has to be loaded and saved as external weights first.
- `get_tokenizer()` is `AutoTokenizer.from_pretrained(NAME)`, so it needs a hub, a cache or a local path. Of a local path
  with exactly two slashes the last part is dropped, and of any name what follows a `:`.
- tinker does not install jinja2, which chat templates need.
- The rank is a power of 2. The API gives no prices.
"""
