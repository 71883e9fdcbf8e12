"""Every word that people read of new networks, of launching VMs and of placement in the console, in Korean."""

WORDS = {
    "nav.placement": "배치",
    "placement.title": "배치 도우미",
    "placement.lead": (
        "etcd, Ceph 모니터, 데이터베이스처럼 과반수가 살아 있는 동안 동작하는 클러스터 서비스의 구성원을 어디에 둘지 "
        "알려 줍니다."
    ),
    "placement.nodes": "구성원 수",
    "placement.survive": "견뎌야 하는 손실",
    "placement.survive.widest": "이 호스트들로 가능한 만큼",
    "placement.survive.host": "아무 호스트 하나",
    "placement.survive.zone": "아무 존 하나",
    "placement.survive.region": "아무 리전 하나",
    "placement.survive.csp": "아무 CSP 하나",
    "placement.survive.csp+region": "아무 CSP 하나, 그리고 아무 리전 하나",
    "placement.submit": "추천받기",
    "placement.members": "추천 호스트",
    "placement.csp": "CSP",
    "placement.zone": "존",
    "placement.area": "지역",
    "placement.write": "리더일 때 쓰기",
    "placement.models": "다섯 가지 모델과 나머지를 고르지 않은 이유",
    "placement.model": "모델",
    "placement.verdict": "판정",
    "placement.best": "가장 빠른 쓰기",
    "placement.failures": "단일 장애별 결과",
    "placement.failure": "잃는 것",
    "placement.left": "남는 구성원",
    "placement.survived": "견딤",
    "placement.promised": "요청함",
    "placement.meanwhile": "그동안의 쓰기",
    "live.placement.chosen": "모델 {model}: {title}",
    "live.placement.leads": "리더로 알맞음",
    "live.placement.write.words": (
        "{leader}이(가) 리더일 때 예상되는 쓰기 시간입니다. 쓰기는 {nodes}개 중 {majority}개를 기다립니다. "
        "선출될 수 있는 가장 불리한 리더에서는 {worst}입니다."
    ),
    "live.placement.guessed": "측정한 적이 없어 높게 추정: {pairs}. 상태 시험이 측정합니다.",
    "live.model.1": "한 존",
    "live.model.2": "한 리전의 여러 존",
    "live.model.3": "한 CSP의 여러 리전",
    "live.model.4": "논리적으로 한 리전에 있는 여러 CSP",
    "live.model.5": "여러 리전의 여러 CSP",
    "live.outcome.chosen": "선택",
    "live.outcome.promises-less": "약속이 부족함",
    "live.outcome.impossible": "불가능",
    "live.outcome.slower": "더 느림",
    "live.outcome.no-gain": "이득 없음",
    "live.why.chosen": "{survive}의 손실을 견디는 모델 가운데 쓰기가 가장 빠릅니다.",
    "live.why.less": "구성원이 함께 잃을 수 있는 곳에 모여 있어 {survive}의 손실을 견딜 수 없습니다.",
    "live.why.slower": "가장 좋은 호스트로도 모델 {model}의 {ms}보다 쓰기가 느립니다.",
    "live.why.same": "모델 {model}보다 넓게 퍼뜨려도 쓰기가 빨라지지 않습니다.",
    "live.survive.host": "아무 호스트 하나",
    "live.survive.zone": "아무 존 하나",
    "live.survive.region": "아무 리전 하나",
    "live.survive.csp": "아무 CSP 하나",
    "live.survive.csp+region": "아무 CSP 하나와 아무 리전 하나",
    "live.must.csp": "CSP 전체의 장애를 견뎌야 합니까?",
    "live.must.region": "리전 전체의 장애를 견뎌야 합니까?",
    "live.must.zone": "존 전체의 장애를 견뎌야 합니까?",
    "live.failing.host": "호스트",
    "live.failing.zone": "존",
    "live.failing.region": "리전",
    "live.failing.area": "지역",
    "live.failing.csp": "CSP",
    "launch.title": "띄우기",
    "launch.help": (
        "사용자 데이터를 user-data.yaml로 저장하되 본인만 읽게 하세요. 토큰이 들어 있습니다. 대문자로 된 "
        "말은 직접 채우세요. IMAGE와 AMI는 그 사업자에 올린 어플라이언스 이미지입니다."
    ),
    "launch.command": "명령",
    "launch.tumblebug": (
        "POST /ns/NS/infraDynamic으로 보냅니다. Tumblebug에는 사용자 데이터 "
        "항목이 없어 SSH로 참여 파일을 넣고, 토큰이 든 요청을 보관합니다."
    ),
    "cladnet.confirm": "{name}을(를) 만들까요?",
    "cladnet.room": "수용 호스트 수",
    "cladnet.hosts": "호스트 수",
    "cladnet.second.off": "IPv6 없음",
    "cladnet.second.auto": "IPv6도 사용: 사설 접두어를 자동으로 고름",
    "cladnet.second.own": "IPv6도 사용: 아래 접두어로",
    "cladnet.prefix": "사설 IPv6 접두어(/64)",
    "cladnet.encryption.on.help": "WireGuard: 중간에서 아무도 읽거나 위조하지 못합니다.",
    "cladnet.encryption.off.help": (
        "두 호스트 사이에 있는 누구나 내용을 읽고 위조할 수 있습니다. 한 사설 네트워크 안의 호스트에만 쓰세요."
    ),
    "cladnet.later": (
        "모두 나중에 `larva net update`로 바꿀 수 있습니다. 대역은 넓힐 수만 있고, 암호화를 바꾸는 동안에는 두 "
        "호스트가 모두 바뀔 때까지 서로 통신할 수 없습니다."
    ),
    "range.range": "대역",
    "range.because": "이유",
    "range.whose": "사용하는 곳",
    "range.recommend": "대역 추천",
    "range.recommended": (
        "{cidr}이(가) 비어 있습니다. 호스트 {hosts}개를 수용하며 알려진 어떤 것과도 겹치지 않습니다."
    ),
    "range.avoided": "피한 대역",
    "range.overlapped": "이 대역과 겹치는 것",
    "range.free": "다른 CLADNet, 호스트 자신의 네트워크, 사업자가 흔히 쓰는 대역과 겹치지 않습니다.",
    "range.unwise": "사업자가 흔히 쓰는 대역과 겹칩니다",
    "range.unwise.help": "그런 네트워크에 있는 호스트는 참여할 수 없습니다. 그래도 만들 수는 있습니다.",
    "range.reason.cladnet": "다른 CLADNet",
    "range.reason.host-network": "호스트가 그 안에 있어 자신의 네트워크를 잃게 됨",
    "range.reason.reserved": "사업자나 흔한 소프트웨어가 따로 쓰는 대역",
    "range.reason.usual": "사업자가 기본으로 주는 대역이라 앞으로 그 안의 호스트가 올 수 있음",
}
