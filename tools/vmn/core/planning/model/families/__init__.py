"""Models with a file of their own: ``model_type``, and the function that returns their form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vmn.core.planning.model.architecture import Config
from vmn.core.planning.model.families.bailing import bailing
from vmn.core.planning.model.families.deepseek_v4 import deepseek_v4
from vmn.core.planning.model.families.deepseek_v41 import deepseek_v41
from vmn.core.planning.model.families.glm5_next import glm5_next
from vmn.core.planning.model.families.hy_v4 import hy_v4
from vmn.core.planning.model.families.inkling import inkling
from vmn.core.planning.model.families.k2_horizon import k2_horizon
from vmn.core.planning.model.families.kimi_linear import kimi_linear
from vmn.core.planning.model.families.laguna import laguna
from vmn.core.planning.model.families.longcat_flash import longcat_flash
from vmn.core.planning.model.families.mimo_v2 import mimo_v2
from vmn.core.planning.model.families.minimax_m3 import minimax_m3
from vmn.core.planning.model.families.nemotron_h import nemotron_h
from vmn.core.planning.model.families.qwen4_exp import qwen4_exp
from vmn.core.planning.model.families.step import step
from vmn.core.planning.model.form import Form

FAMILIES: Mapping[str, Callable[[Config], Form]] = {
    "bailing_hybrid": bailing,
    "deepseek_v4": deepseek_v4,
    "deepseek_v41": deepseek_v41,
    "glm5_next": glm5_next,
    "hy_v4": hy_v4,
    "inkling_mm_model": inkling,
    "k2_horizon": k2_horizon,
    "kimi_k3": kimi_linear,
    "kimi_linear": kimi_linear,
    "laguna": laguna,
    "longcat_flash": longcat_flash,
    "mimo_v2": mimo_v2,
    "mimo_v2_flash": mimo_v2,
    "minimax_m3_vl": minimax_m3,
    "nemotron_h": nemotron_h,
    "qwen4_exp": qwen4_exp,
    "step3p5": step,
    "step3p7": step,
    "step5": step,
    "step5_vl": step,
}
