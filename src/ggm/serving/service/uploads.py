"""A multipart form on its way to the disk: videos go to files as they come, too much is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final, Self

from ggm.errors import MissingDependencyError
from ggm.serving.service.errors import Refusal

try:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header
except ImportError as error:
    raise MissingDependencyError("the service needs python-multipart: pip install 'ggm[serve]'") from error

MAX_FIELD_BYTES: Final = 256 * 1024
MAX_FIELDS: Final = 256
_WRITE_BYTES: Final = 1024**2


@dataclass(frozen=True)
class UploadLimits:
    """What a form may hold.

    Args:
        max_file_bytes: Size of one video.
        max_files: How many.
    """

    max_file_bytes: int
    max_files: int


@dataclass
class Form:
    """What came: texts by name, and videos as files, which go when the form is closed."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    videos: list[Path] = field(default_factory=list)

    def text(self, name: str) -> str | None:
        """The one text of that name; None if there is none.

        Raises:
            Refusal: If there are several.
        """
        values = self.texts.get(name, [])
        if len(values) > 1:
            raise Refusal(422, "invalid_request", f"{name}: given {len(values)} times; give it once")
        return values[0] if values else None

    def close(self) -> None:
        """Remove the files."""
        for path in self.videos:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def read_form(
    chunks: AsyncIterator[bytes], content_type: str, folder: Path, limits: UploadLimits
) -> Form:
    """Read a multipart form.

    Parts named ``video`` go to files in the folder whatever their file names, which aren't looked at;
    all others are texts.

    Args:
        chunks: The body.
        content_type: The header.
        folder: Where videos go.
        limits: What is refused.

    Returns:
        The form; whoever has it closes it.

    Raises:
        Refusal: 400 or 415 for what is no form, 413 or 422 for what exceeds a limit, 503 for a full disk.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Refusal(
            415,
            "unsupported_media_type",
            "send a form as multipart/form-data, with the video in the part `video`",
        )
    reader = _Reader(folder, limits)
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
        async for chunk in chunks:
            parser.write(chunk)
            if reader.waiting_bytes >= _WRITE_BYTES:
                await asyncio.to_thread(reader.flush)
        parser.finalize()
        await asyncio.to_thread(reader.flush)
        if not reader.ended:
            raise Refusal(400, "bad_form", "the form ends before its last boundary; send it again")
    except FormParserError as error:
        reader.close()
        raise Refusal(400, "bad_form", f"the body isn't a form: {str(error)[:100]}") from None
    except OSError as error:
        reader.close()
        raise Refusal(
            503, "no_room", f"the video can't be kept: {error.strerror}; try again later", retry_after=30
        ) from error
    except BaseException:
        reader.close()
        raise
    return reader.form


class _Reader:
    """What the parser tells, part by part."""

    def __init__(self, folder: Path, limits: UploadLimits) -> None:
        self.form = Form()
        self.ended = False
        self.waiting_bytes = 0
        self._folder = folder
        self._limits = limits
        self._file: IO[bytes] | None = None
        self._file_bytes = 0
        self._pieces: list[tuple[IO[bytes], bytes]] = []
        self._closing: list[IO[bytes]] = []
        self._num_parts = 0
        self._text = bytearray()
        self._name = ""
        self._is_named_file = False
        self._header_name = self._header_value = b""
        self._disposition = b""

    def callbacks(self) -> dict[str, Callable[..., Any]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_name,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def flush(self) -> None:
        """Write what waits."""
        pieces, self._pieces, self.waiting_bytes = self._pieces, [], 0
        for file, piece in pieces:
            file.write(piece)
        closing, self._closing = self._closing, []
        for file in closing:
            file.close()

    def close(self) -> None:
        """Leave nothing behind."""
        for file in (*self._closing, *(() if self._file is None else (self._file,))):
            with suppress(OSError):
                file.close()
        self.form.close()

    def _begin(self) -> None:
        self._num_parts += 1
        if self._num_parts > MAX_FIELDS:
            raise Refusal(413, "too_large", f"a form has at most {MAX_FIELDS} parts")
        self._text.clear()
        self._disposition = b""

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_named_file = b"filename" in options
        if self._name != "video":
            return
        if len(self.form.videos) == self._limits.max_files:
            raise Refusal(422, "too_many_videos", f"at most {self._limits.max_files} videos a request")
        self._file = NamedTemporaryFile(dir=self._folder, delete=False)  # noqa: SIM115 - see `close`
        self._file_bytes = 0
        self.form.videos.append(Path(self._file.name))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            if len(self._text) + end - start > MAX_FIELD_BYTES:
                if self._is_named_file:
                    raise _wrong_part(self._name)
                raise Refusal(
                    413,
                    "too_large",
                    f"a part of the form has more than {MAX_FIELD_BYTES:,} bytes; shorten it",
                )
            self._text += data[start:end]
            return
        self._file_bytes += end - start
        if self._file_bytes > self._limits.max_file_bytes:
            raise upload_too_large(self._limits.max_file_bytes)
        self._pieces.append((self._file, bytes(data[start:end])))
        self.waiting_bytes += end - start

    def _end(self) -> None:
        if self._file is not None:
            self._closing.append(self._file)
            self._file = None
            return
        try:
            text = self._text.decode("utf-8")
        except UnicodeDecodeError:
            if self._is_named_file:
                raise _wrong_part(self._name) from None
            raise Refusal(422, "invalid_request", "a text of the form isn't UTF-8") from None
        self.form.texts.setdefault(self._name, []).append(text)

    def _on_end(self) -> None:
        self.ended = True


def _wrong_part(name: str) -> Refusal:
    return Refusal(
        422, "no_video", f"{name[:50]}: videos are taken from the part `video` alone; send the file as that"
    )


def upload_too_large(max_bytes: int) -> Refusal:
    """Of a video."""
    return Refusal(
        413, "too_large", f"a video has at most {max_bytes:,} bytes here; send a shorter or smaller one"
    )
