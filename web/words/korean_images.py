"""Every word that people read of images in the console, in Korean."""

WORDS = {
    "nav.images": "이미지",
    "images.title": "이미지",
    "images.lead": (
        "클라우드마다 받는 형식으로 만든 어플라이언스 디스크입니다. 모든 파일은 보내기 전에 배포자의 서명과 대조합니다."
    ),
    "images.built": "이미지 {profile} {version}",
    "images.refused": "서명된 내용과 달라서 내주지 않습니다.",
    "images.signed": "서명 내용",
    "images.system": "시스템",
    "images.disk": "디스크",
    "images.format": "형식",
    "images.smallest": "최소 권장 VM",
    "images.files": "{image}의 파일",
    "images.file": "파일",
    "images.size": "크기",
    "images.check": "배포자의 키로 직접 확인하려면:",
    "images.launch": "띄우기: {target}",
    "images.launch.help": "대문자로 쓴 단어는 직접 채웁니다. user-data.yaml은 CLADNet 페이지에서 만듭니다:",
    "images.launch.userdata": "CLADNet 목록",
    "images.userdata": "사용자 데이터를 넘기는 방법:",
    "images.ports": "열어야 할 포트",
    "images.ports.tunnels": "모든 VM, CLADNet 터널",
    "images.ports.etcd": "제어 노드, 자체 인증서를 쓰는 etcd",
    "images.ports.console": "제어 노드, 콘솔과 API와 등록",
    "images.ports.smb": "게이트웨이, 암호화된 SMB 3으로 Windows에 볼륨 제공",
    "images.notes": "알아 둘 것",
    "images.sources": "출처",
    "images.none": "아직 이미지가 없습니다. 이미지를 만드는 곳에서:",
}
