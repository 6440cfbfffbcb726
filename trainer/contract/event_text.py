"""Events and durations as text for people."""

from trainer.contract import events

SHOWN = 0.05  # p below which a difference is shown
# Measured with tests/bench/divergence.py; docs/training.md has the figures.
USUAL = "SmolLM2-135M-Instruct moved by 0.007 to 0.26 with lr 2e-4, by 1.9 with lr 5e-3"


def clock(seconds: float) -> str:
    """Write a duration: 7s, 1:32, 2:03:09."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest}s"


def line(event: events.Event) -> str:
    """Write an event as text, mostly one line; empty when it has nothing to tell a person."""
    match event:
        case events.Phase():
            return f"{event.name}: {event.detail}" if event.detail else event.name
        case events.Plan():
            dropped = f" ({event.dropped_rows:,} dropped: too long)" * bool(event.dropped_rows)
            size = "one row" if event.pass_tokens == 1 else f"up to {event.pass_tokens:,} tokens"
            return (
                f"plan: {event.device}, {event.precision}, {event.steps:,} steps, micro-batches of {size}\n"
                f"      {event.rows:,} rows{dropped}, {event.trainable_parameters:,} trainable parameters\n"
                f"      {event.trained_tokens:,} of {event.tokens:,} tokens per epoch are trained"
            )
        case events.Data():
            return ""
        case events.TrialStep():
            return _trial_step(event)
        case events.Kernels():
            return f"fused kernels: {kernels(event)}"
        case events.Step():
            words = [
                f"step {event.step}/{event.steps}",
                f"loss {event.loss:.4f}",
                f"lr {event.lr:.2e}",
                f"{event.tokens_per_second:,.0f} tokens/s",
                f"{event.trained_tokens_per_second:,.0f} trained/s",
                gpu_use(event),
                f"{clock(event.seconds_left)} left",
            ]
            return "  ".join(word for word in words if word)
        case events.Eval():
            who = f"at step {event.step}" if event.step else "of the base"
            return f"evaluation {who}: loss {event.loss:.4f}"
        case events.HeldOut():
            return held_out(event)
        case events.Divergence():
            return divergence(event)
        case events.Validation():
            loss = "" if event.loss is None else f", held-out loss {event.loss:.4f}"
            return (
                f"checkpoint of step {event.step}: {event.right} of {event.questions} right{loss}"
            )
        case events.Answers():
            last = f"; last: {event.sample}" * bool(event.sample)
            return f"{answered(event)}{last}"
        case events.Sample():
            who = "of the base" if event.label == "base" else f"at step {event.step}"
            return f"sample {who}: {event.text}"
        case events.Checkpoint():
            return f"checkpoint at step {event.step}: {event.path}"
        case events.Warning():
            return f"warning: {event.message}"
        case events.Failed():
            return f"failed: {event.cause}"
        case events.Saved():
            return f"saved: {event.path}"
        case events.Released():
            return f"pod shut down: {event.reason}"
        case events.Done():
            return f"done: {event.manifest}"
        case _:
            return ""


def _trial_step(event: events.TrialStep) -> str:
    rate, bound = event.tokens_per_second, event.bound_tokens_per_second
    text = f"trial step: {event.tokens:,} tokens in {event.seconds:.2f} s, {rate:,.0f} tokens/s"
    if bound:
        text += f", {rate / bound:.0%} of the card's bound"
    if event.peak_bytes is not None:
        text += f"; at most {event.peak_bytes / 1e9:.1f} GB"
        if event.predicted_bytes:
            error = event.peak_bytes / event.predicted_bytes - 1
            text += f", {event.predicted_bytes / 1e9:.1f} GB predicted ({error:+.0%})"
    return text


def kernels(event: events.Kernels) -> str:
    """Write whether the training steps use fused kernels, and why."""
    words = [event.finding]
    if event.fused_seconds:
        faster = event.plain_seconds / event.fused_seconds
        words.insert(0, f"{faster:.2f} times as fast as plain")
    return f"{', '.join(words)}; {'used' if event.used else 'not used'}"


def held_out(event: events.HeldOut) -> str:
    """Write which of base and adapter predicts the held-out answers better."""
    n, (answers, all_answers) = len(event.rows), event.answers
    what = f"{event.better} of {n} held-out answers"
    if all_answers != n:
        what = f"{event.better} of {n} held-out chats ({answers} of {all_answers} answers)"
    end = ": no difference is shown"
    if event.p < SHOWN and event.better > event.worse and event.loss < event.base_loss:
        end = ""
    elif event.p < SHOWN and event.better < event.worse:
        end = ": the base predicts them better"
    return (
        f"the adapter predicts {what} better than the base "
        f"(loss {event.base_loss:.2f} -> {event.loss:.2f}, paired sign test p = {event.p:.2g}){end}"
    )


def divergence(event: events.Divergence) -> str:
    """Write how far the adapter moved the base on general prompts, and what is usual."""
    prompt, most = max(event.each, key=lambda one: one[1])
    return (
        f"on {len(event.each)} general prompts the adapter's next-token distribution differs from the base's by "
        f"{event.median:.2g} nats a token (median KL divergence; most {most:.2g}: "
        f'"{prompt}"); for comparison: {USUAL}'
    )


def gpu_use(event: events.Step) -> str:
    """Write how busy the card is; empty without one."""
    return "" if event.gpu_use is None else f"GPU {event.gpu_use}%"


def answered(event: events.Answers) -> str:
    """Write how far an evaluation is."""
    begins = f"{event.label} {event.answered}/{event.questions} answered"
    return ", ".join(word for word in (begins, *outcome(event), time_left(event)) if word)


def outcome(event: events.Answers) -> list[str]:
    """Write how the answers turned out by now, a word for each figure."""
    compared = event.won is not None and event.lost is not None
    return [f"{event.right} right", *([f"won {event.won}", f"lost {event.lost}"] * compared)]


def time_left(event: events.Answers) -> str:
    """The time left of an evaluation as text; empty where it is unknown, and at the end."""
    over = event.seconds_left is None or event.answered == event.questions
    return "" if over else f"{clock(event.seconds_left or 0)} left"
