"""What the official client sees of a running gateway with the two sample models.

    python client_test.py http://127.0.0.1:8080/v1 [KEY]

Each check is a function; all run, and any failure makes the exit status 1.
"""

import collections
import json
import math
import re
import sys
import traceback

import openai

EMBEDDINGS, CHAT = "embeddings", "chat"
QUESTION = [
    {"role": "system", "content": "Answer in one short sentence."},
    {"role": "user", "content": "What is the capital of France?"},
]


def cosine(left, right):
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return dot / math.sqrt(sum(a * a for a in left) * sum(b * b for b in right))


def refused(kind, call, *, code=None, param=None, says=()):
    """Expects `call` to raise `kind` with the OpenAI fields filled."""
    try:
        call()
    except kind as error:
        body = error.body
        assert isinstance(body, dict), f"no OpenAI error body: {body!r}"
        assert body["type"] == "invalid_request_error", body
        assert code is None or body["code"] == code, body
        assert param is None or body["param"] == param, body
        for word in says:
            assert word in body["message"], f"{word!r} not in {body['message']!r}"
        return
    raise AssertionError(f"expected {kind.__name__}, but the call succeeded")


def lists_models(client):
    listed = client.models.list().data
    assert {model.id for model in listed} == {EMBEDDINGS, CHAT}, listed
    assert all(model.object == "model" for model in listed), listed
    assert client.models.retrieve(CHAT).id == CHAT


def embeds_a_string(client):
    answer = client.embeddings.create(model=EMBEDDINGS, input="The cat sits on the mat.")
    assert answer.model == EMBEDDINGS
    assert [item.index for item in answer.data] == [0]
    assert len(answer.data[0].embedding) == 384
    assert abs(cosine(answer.data[0].embedding, answer.data[0].embedding) - 1) < 1e-6
    assert abs(sum(x * x for x in answer.data[0].embedding) - 1) < 1e-3, "not normalised"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 9, answer.usage


def embeds_a_list_by_meaning(client):
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Stocks fell on Monday."]
    data = client.embeddings.create(model=EMBEDDINGS, input=texts).data
    assert [item.index for item in data] == [0, 1, 2]
    cat, kitten, stocks = (item.embedding for item in data)
    assert cosine(cat, kitten) > cosine(cat, stocks) + 0.3


def encodings_agree(client):
    """The client asks for base64 by itself; asked for floats, it must get the same numbers."""
    text = "Two encodings of one vector."
    binary = client.embeddings.create(model=EMBEDDINGS, input=text).data[0].embedding
    floats = client.embeddings.create(model=EMBEDDINGS, input=text, encoding_format="float")
    assert max(abs(a - b) for a, b in zip(binary, floats.data[0].embedding, strict=True)) < 1e-6


def embeds_tokens(client):
    """[CLS] hello world [SEP] as ids, alone and in a list, equals the text."""
    ids = [101, 7592, 2088, 102]
    text = client.embeddings.create(model=EMBEDDINGS, input="hello world")
    one = client.embeddings.create(model=EMBEDDINGS, input=ids)
    two = client.embeddings.create(model=EMBEDDINGS, input=[ids, ids])
    assert one.usage.prompt_tokens == text.usage.prompt_tokens == 4
    assert len(two.data) == 2
    for item in [*one.data, *two.data]:
        assert cosine(item.embedding, text.data[0].embedding) > 0.9999


def chats(client):
    answer = client.chat.completions.create(
        model=CHAT, messages=QUESTION, temperature=0, max_tokens=24
    )
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert "Paris" in choice.message.content, choice
    assert choice.finish_reason == "stop", choice
    usage = answer.usage
    assert usage.prompt_tokens > 5 and 0 < usage.completion_tokens <= 24, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage


def chat_obeys_limits(client):
    ask = {"model": CHAT, "messages": QUESTION, "temperature": 0}
    short = client.chat.completions.create(**ask, max_tokens=3)
    assert short.choices[0].finish_reason == "length"
    assert short.usage.completion_tokens == 3
    stopped = client.chat.completions.create(**ask, max_tokens=24, stop=[" France"])
    assert stopped.choices[0].finish_reason == "stop"
    assert " France" not in stopped.choices[0].message.content
    assert stopped.choices[0].message.content, "nothing before the stop text"


def a_seed_repeats(client):
    ask = {"model": CHAT, "messages": QUESTION, "max_tokens": 16, "temperature": 1.2, "top_p": 0.95}
    texts = [
        client.chat.completions.create(**ask, seed=seed).choices[0].message.content
        for seed in (7, 7, 1, 2, 3)
    ]
    assert texts[0] == texts[1], texts
    assert len(set(texts)) > 1, f"five hot samples are all alike: {texts[0]!r}"


def several_answers(client):
    ask = {"model": CHAT, "messages": QUESTION, "max_tokens": 12, "temperature": 1.2, "seed": 7}
    one = client.chat.completions.create(**ask)
    three = client.chat.completions.create(**ask, n=3)
    texts = [choice.message.content for choice in three.choices]
    assert [choice.index for choice in three.choices] == [0, 1, 2], three.choices
    assert texts[0] == one.choices[0].message.content, (texts, one)
    assert len(set(texts)) == 3, texts
    assert three.usage.prompt_tokens == one.usage.prompt_tokens, three.usage
    with client.chat.completions.create(**ask, n=2, stream=True) as stream:
        pieces = [choice for chunk in stream for choice in chunk.choices]
    for index in (0, 1):
        own = [piece.delta.content or "" for piece in pieces if piece.index == index]
        assert "".join(own) == texts[index], (own, texts)


def most_repeated(text):
    """How often the commonest word of a text is in it."""
    return collections.Counter(text.split()).most_common(1)[0][1]


def tokens_are_favoured_and_penalised(client):
    prompt = "Again and again and again and again and"
    ask = {"model": CHAT, "prompt": prompt, "temperature": 0, "max_tokens": 12}
    plain = client.completions.create(**ask).choices[0].text
    assert most_repeated(plain) > 4, plain
    for extra in (
        {"frequency_penalty": 2},
        {"presence_penalty": 2, "extra_body": {"repetition_penalty": 1.5}},
    ):
        penalised = client.completions.create(**ask, **extra).choices[0].text
        assert most_repeated(penalised) < 3, (extra, penalised)
    always = client.completions.create(**ask, logit_bias={"100": 100})
    assert always.usage.completion_tokens == 12, always.usage
    token = always.choices[0].text[0]
    assert set(always.choices[0].text) == {token}, always
    for kept in ({"top_k": 1}, {"min_p": 1}):
        hot = {**ask, "temperature": 2, "seed": 1, "extra_body": kept}
        assert client.completions.create(**hot).choices[0].text == plain, kept


def tells_how_likely_tokens_are(client):
    ask = {"model": CHAT, "messages": QUESTION, "temperature": 0, "max_tokens": 24}
    choice = client.chat.completions.create(**ask, logprobs=True, top_logprobs=3).choices[0]
    told = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in told).decode() == choice.message.content
    for token in told:
        assert len(token.top_logprobs) == 3 and token.logprob <= 0, token
        assert token.top_logprobs[0].token == token.token, token
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) < 1.001, token
    with client.chat.completions.create(**ask, logprobs=True, stream=True) as stream:
        pieces = [choice for chunk in stream for choice in chunk.choices]
    streamed = [token for piece in pieces if piece.logprobs for token in piece.logprobs.content]
    assert [token.token for token in streamed] == [token.token for token in told]
    ask = {"model": CHAT, "prompt": "The capital of France is", "temperature": 0, "max_tokens": 4}
    choice = client.completions.create(**ask, logprobs=2).choices[0]
    assert "".join(choice.logprobs.tokens) == choice.text, choice
    assert choice.logprobs.text_offset[0] == 0 and len(choice.logprobs.top_logprobs[0]) == 2
    assert all(logprob <= 0 for logprob in choice.logprobs.token_logprobs)


CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "size": {"enum": ["small", "large"]}},
    "required": ["city", "size"],
    "additionalProperties": False,
}


def answers_have_the_form_asked_for(client):
    ask = {"model": CHAT, "messages": QUESTION, "temperature": 0, "max_tokens": 80}
    described = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}
    choice = client.chat.completions.create(**ask, response_format=described).choices[0]
    assert choice.finish_reason == "stop", choice
    city = json.loads(choice.message.content)
    assert set(city) == {"city", "size"} and city["size"] in {"small", "large"}, city
    for form, right in (
        ({"regex": "[A-Z]{3}-[0-9]{2}"}, lambda text: re.fullmatch("[A-Z]{3}-[0-9]{2}", text)),
        ({"choice": ["north", "south"]}, lambda text: text in {"north", "south"}),
        ({"grammar": 'start: "<" /[a-z]{2,5}/ ">"'}, lambda text: re.fullmatch("<[a-z]{2,5}>", text)),
    ):
        held = client.chat.completions.create(**ask, extra_body={"structured_outputs": form})
        assert right(held.choices[0].message.content), (form, held)
        assert held.choices[0].finish_reason == "stop", held
    text = client.completions.create(
        model=CHAT, prompt="Yes or no?", max_tokens=9, extra_body={"guided_choice": ["yes", "no"]}
    )
    assert text.choices[0].text in {"yes", "no"}, text


def a_model_without_tools_says_so(client):
    """The chat sample's template knows no tools."""
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
    ask = client.chat.completions.create
    refused(
        openai.BadRequestError,
        lambda: ask(model=CHAT, messages=QUESTION, tools=[tool]),
        param="tools",
    )
    choice = ask(model=CHAT, messages=QUESTION, tools=[tool], tool_choice="none", max_tokens=4).choices[0]
    assert choice.message.tool_calls is None and choice.message.content, choice


def streams(client):
    ask = {"model": CHAT, "messages": QUESTION, "temperature": 0, "max_tokens": 24}
    whole = client.chat.completions.create(**ask)
    with client.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
    pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert sum(bool(piece) for piece in pieces) > 1, "it all came in one chunk"
    finished = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert finished[-1] == "stop" and not any(finished[:-1]), finished
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage, chunks[-1]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def streams_without_usage(client):
    ask = {"model": CHAT, "messages": QUESTION, "temperature": 0, "max_tokens": 4}
    with client.chat.completions.create(**ask, stream=True) as stream:
        assert all(chunk.usage is None and chunk.choices for chunk in stream)


def completes(client):
    ask = {"model": CHAT, "prompt": "The capital of France is", "temperature": 0, "max_tokens": 4}
    answer = client.completions.create(**ask)
    assert answer.object == "text_completion"
    assert "Paris" in answer.choices[0].text, answer
    with client.completions.create(**ask, stream=True) as stream:
        assert "".join(c.choices[0].text for c in stream) == answer.choices[0].text


def bad_requests(client):
    bad = openai.BadRequestError
    embed, chat = client.embeddings.create, client.chat.completions.create
    refused(bad, lambda: embed(model=EMBEDDINGS, input="x", dimensions=64), param="dimensions")
    refused(bad, lambda: embed(model=EMBEDDINGS, input=""), param="input")
    refused(bad, lambda: embed(model=EMBEDDINGS, input=[]), param="input")
    refused(bad, lambda: embed(model=EMBEDDINGS, input=[10**9]), param="input")
    refused(bad, lambda: chat(model=CHAT, messages=QUESTION, temperature=-1), param="temperature")
    refused(bad, lambda: chat(model=CHAT, messages=QUESTION, temperature=99), param="temperature")
    refused(bad, lambda: chat(model=CHAT, messages=QUESTION, top_p=1.5), param="top_p")
    refused(bad, lambda: chat(model=CHAT, messages=QUESTION, n=0), param="n")
    refused(bad, lambda: chat(model=CHAT, messages=QUESTION, presence_penalty=3), param="presence_penalty")
    refused(bad, lambda: chat(model=CHAT, messages=QUESTION, logit_bias={"999999": 1}), param="logit_bias")
    refused(bad, lambda: chat(model=CHAT, messages=[]), param="messages")
    refused(bad, lambda: chat(model=CHAT, messages=QUESTION, top_logprobs=3), param="top_logprobs")
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}
    refused(bad, lambda: chat(model=CHAT, messages=QUESTION, response_format=wrong), code="invalid_form")
    long = [{"role": "user", "content": "word " * 9000}]
    refused(bad, lambda: chat(model=CHAT, messages=long), code="context_length_exceeded")
    refused(bad, lambda: embed(model=EMBEDDINGS, input="word " * 600), code="context_length_exceeded")


def the_wrong_task_is_a_bad_request(client):
    """Each model says what it does instead."""
    for call in (
        lambda: client.embeddings.create(model=CHAT, input="x"),
        lambda: client.chat.completions.create(model=EMBEDDINGS, messages=QUESTION),
    ):
        refused((openai.BadRequestError, openai.NotFoundError), call)


def unknown_models(client):
    for call in (
        lambda: client.chat.completions.create(model="nobody", messages=QUESTION),
        lambda: client.embeddings.create(model="nobody", input="x"),
        lambda: client.models.retrieve("nobody"),
    ):
        refused(openai.NotFoundError, call, code="model_not_found", says=["nobody"])


CHECKS = [
    lists_models,
    embeds_a_string,
    embeds_a_list_by_meaning,
    encodings_agree,
    embeds_tokens,
    chats,
    chat_obeys_limits,
    a_seed_repeats,
    several_answers,
    tokens_are_favoured_and_penalised,
    tells_how_likely_tokens_are,
    answers_have_the_form_asked_for,
    a_model_without_tools_says_so,
    streams,
    streams_without_usage,
    completes,
    bad_requests,
    the_wrong_task_is_a_bad_request,
    unknown_models,
]


def main():
    key = sys.argv[2] if len(sys.argv) > 2 else "unused"
    client = openai.OpenAI(base_url=sys.argv[1], api_key=key, max_retries=0)
    failures = 0
    for check in CHECKS:
        try:
            check(client)
            print(f"ok      {check.__name__}", flush=True)
        except Exception:
            failures += 1
            print(f"FAILED  {check.__name__}\n{traceback.format_exc()}", flush=True)
    sys.exit(f"{failures} of {len(CHECKS)} checks failed" if failures else 0)


if __name__ == "__main__":
    main()
