"""An installation in, a report with remedies for its problems out: ``harken doctor``.

`finding` holds the result of a check, `privacy` removes personal data from it, and `report` shows
it. The checks: `program` (versions, interpreters), `sound_system` (PortAudio, devices,
permissions, sound servers), `model_check` against `golden` data, and `live`, the microphone, with
the arithmetic in `level`.
"""
