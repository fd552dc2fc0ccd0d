"""Words for what needs no rule of the policy to be said."""

from policy.document import Words

WORDS: dict[str, Words] = {
    "account-opened": Words(en="The account was opened with this limit.", zh="账户开立，额度生效。"),
    "account-opened-capped": Words(
        en="The account was opened; its limit was lowered to the most that one customer may have.",
        zh="账户开立，额度已按单一客户上限调低。",
    ),
    "forgotten": Words(
        en="Nothing is owed any more, and what was kept about the customer is erased.",
        zh="已无欠款，客户资料已清除。",
    ),
    "account-closed": Words(
        en="The account was closed; only what is still owed ({owed}) remains.",
        zh="账户已关闭，仅保留未还金额 {owed}。",
    ),
    "within-ability-to-pay": Words(
        en="The requested limit is within what the income can carry.",
        zh="申请额度在收入可承受范围内。",
    ),
    "within-limit": Words(
        en="The limit in force ({limit}) already covers the request.", zh="当前额度 {limit} 已满足申请。"
    ),
    "ability-to-pay": Words(
        en="The known monthly income ({income_estimate}) and existing debt ({owed}) carry no more.",
        zh="按已知月收入 {income_estimate} 和现有欠款 {owed}，无法承受更高额度。",
    ),
    "absolute-cap": Words(
        en="The limit would exceed the most that one customer may have.", zh="申请额度超过单一客户上限。"
    ),
    "no-account": Words(en="There is no open account.", zh="没有有效账户。"),
    "frozen": Words(en="The limit is frozen.", zh="额度已冻结。"),
    "open-warning": Words(en="A serious warning is open on the account.", zh="账户存在未解除的严重预警。"),
    "grade": Words(en="The default probability is {default_probability}.", zh="违约概率为 {default_probability}。"),
    "policy": Words(en="The policy's conditions for a higher limit are not met.", zh="不符合提额政策条件。"),
    "changed-recently": Words(
        en="The limit was changed {days_since_limit_change} days ago.",
        zh="额度在 {days_since_limit_change} 天前刚调整过。",
    ),
    "automation-refused": Words(
        en="The customer has not agreed to automated decisions: a person decides.",
        zh="客户未同意自动化决策，转人工审核。",
    ),
    "evaluation-error": Words(
        en="A part of the policy could not be evaluated: a person decides.", zh="部分规则无法计算，转人工审核。"
    ),
    "review": Words(en="The policy asks for a person's decision.", zh="按政策转人工审核。"),
}
