"""Every word that people read of placement and of launching VMs in the console, in Korean."""

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
    "placement.models": "다섯 모델, 그리고 나머지를 고르지 않은 까닭",
    "placement.model": "모델",
    "placement.verdict": "판정",
    "placement.best": "가장 빠른 쓰기",
    "placement.failures": "장애 하나하나",
    "placement.failure": "잃는 것",
    "placement.left": "남는 구성원",
    "placement.survived": "견딤",
    "placement.promised": "요청함",
    "placement.meanwhile": "그동안의 쓰기",
    "live.placement.chosen": "모델 {model}: {title}",
    "live.placement.leads": "리더로 알맞음",
    "live.placement.write.words": (
        "{leader}이(가) 리더일 때 예상되는 쓰기 시간입니다. 쓰기는 {nodes}개 중 {majority}개를 기다립니다. "
        "선거로 올 수 있는 가장 나쁜 리더에서는 {worst}입니다."
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
    "live.why.less": "형태상 함께 잃을 수 있는 곳에 구성원이 모여 있어 {survive}의 손실을 견딘다고 약속할 수 없습니다.",
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
}
