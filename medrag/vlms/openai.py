"""Models behind any server that speaks the OpenAI chat protocol: vLLM, Ollama, TGI, llama.cpp, LM Studio, or a cloud.

The address must be given: questions about patients' images go nowhere by default. It knows the protocol, not the model.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medrag.errors import GeneratorError, SettingsError
from medrag.vlms._messages import CUT, one_line, user_content, whole_sentences

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt

# what a status means to the person who asked; other statuses are told as they are
_HINTS = {
    400: "the server refused the request: see that the model takes images (sees_images) and max_tokens fits",
    401: "set api_key or OPENAI_API_KEY",
    403: "this key may not use the model",
    404: "see which models the server has at {url}/models, and that base_url ends in /v1",
    413: "lower image_size",
    429: "wait, or raise the limit at the server",
}


BUSY = (429, 503)


class OpenAICompatible:
    """A chat model of a server, streamed.

    ``base_url`` (or OPENAI_BASE_URL) is the server's address with its version, such as ``http://localhost:8000/v1``;
    without it SettingsError is raised. ``timeout`` is in seconds; images are sent as JPEG of at most ``image_size``
    pixels a side, or not at all with ``sees_images=False``. ``retries``: so often a server is asked again that is busy, fails (5xx), is late or cannot
    be reached, after what its Retry-After says, or after a time that doubles and is shortened at random; not once its answer has begun. With
    ``many_images`` pages of the evidence go with them (vLLM: ``--limit-mm-per-prompt image=8``). Raises GeneratorError with one line when the server fails.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        temperature: float = 0.0,
        image_size: int = 1024,
        sees_images: bool = True,
        many_images: bool = False,
        retries: int = 2,
    ) -> None:
        url = base_url or os.environ.get("OPENAI_BASE_URL", "")
        if not model:
            raise SettingsError("no model of the server is named", "write openai:MODEL")
        if not url:
            raise SettingsError(
                f"openai:{model} needs the address of its server",
                "set base_url (model_options) or OPENAI_BASE_URL, such as http://localhost:8000/v1",
            )
        self.name, self.url, self.sees_images, self.many_images = model, url, sees_images, many_images and sees_images
        self.timeout, self.temperature, self.image_size, self.retries = timeout, temperature, image_size, retries
        self._key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._client: Any = None

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """Pieces of the answer as the server sends them, without what stands between <think> tags; closing the iterator closes the connection.

        An answer that is cut off (finish_reason "length") ends with its last whole sentence: text is passed on sentence by sentence once the model
        has written ``max_tokens`` characters, for a token is a character or more. GeneratorError is raised where there is no whole sentence, and
        where a model whose thoughts the server keeps to itself was cut off before that.
        """
        import openai

        try:
            with contextlib.closing(self._pieces(prompt, images if self.sees_images else ())) as pieces:
                yield from whole_sentences(pieces, prompt.max_tokens)
        except (openai.OpenAIError, ValueError) as error:
            raise self._told(error) from error

    def _pieces(self, prompt: Prompt, images: Sequence[Image]) -> Generator[str]:
        turns = [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": user_content(prompt, images, self.image_size)},
        ]
        finished = ""
        with self._connect().chat.completions.create(
            model=self.name,
            messages=turns,
            stream=True,
            temperature=self.temperature,
            max_tokens=prompt.max_tokens,
            seed=prompt.seed,
        ) as stream:
            for chunk in stream:
                for choice in chunk.choices[:1]:
                    finished = finished or str(choice.finish_reason or "")
                    if thought := getattr(choice.delta, "reasoning_content", None):  # vLLM, DeepSeek
                        yield f"<think>{thought}</think>"
                    if choice.delta.content:
                        yield choice.delta.content
        if not finished:
            raise GeneratorError(
                f"{self.url} ended the answer of {self.name} before it was complete", "ask again; see the server's log"
            )
        if finished == "length":
            raise GeneratorError(
                f"the answer of {self.name} was cut off after {prompt.max_tokens} tokens",
                "raise max_tokens, or ask for less",
                CUT,
            )

    def _connect(self) -> Any:
        if self._client is None:
            import openai

            self._client = openai.OpenAI(
                base_url=self.url, api_key=self._key, timeout=self.timeout, max_retries=self.retries
            )
        return self._client

    def _told(self, error: Exception) -> GeneratorError:
        """The failure in one line, with what mends it."""
        import openai

        if isinstance(error, openai.APITimeoutError):
            return GeneratorError(
                f"{self.url} did not answer within {self.timeout:g} s",
                "raise timeout, or take a smaller model",
                "timeout",
            )
        if isinstance(error, openai.APIConnectionError):
            cause = one_line(error.__cause__ or error)
            return GeneratorError(
                f"{self.url} cannot be reached or hung up ({cause})", "start the server, or mend base_url", "down"
            )
        if isinstance(error, openai.APIStatusError):
            hint = _HINTS.get(error.status_code, "see the server's log").format(url=self.url)
            busy = error.status_code in BUSY
            return GeneratorError(
                f"{self.url} answered {error.status_code} for {self.name}: {one_line(error)}", hint,
                "busy" if busy else "failed", _wait(error.response.headers.get("retry-after", "")) if busy else 0.0,
            )  # fmt: skip
        return GeneratorError(
            f"{self.url} sent what is no answer: {one_line(error)}", "see that base_url is a chat server's address"
        )


def _wait(told: str) -> float:
    """Seconds of a Retry-After header; 0 for a date or nothing."""
    try:
        return max(0.0, min(float(told), 3600.0))
    except ValueError:
        return 0.0
