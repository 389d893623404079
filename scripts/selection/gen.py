import sys; sys.path.insert(0, '.')
import numpy as np, torch, time
from scripts.biases import BIASES, images
from PIL import Image
def load(name, share=None, seed=0, splits=("train","val","test")):
    k=BIASES[name]; out={s:([],[],[]) for s in ("train","val","test")}
    for s,l,b,p in images(k, k.share if share is None else share, seed):
        out[s][0].append(p); out[s][1].append(k.labels.index(l)); out[s][2].append(k.values.index(b))
    return {s:(torch.from_numpy(np.stack(v[0])),torch.tensor(v[1]),torch.tensor(v[2])) for s,v in out.items()}
if __name__=="__main__":
    rows=[]
    for n in BIASES:
        t=time.time(); d=load(n); print(n,{s:tuple(v[0].shape) for s,v in d.items()}, round(time.time()-t,1))
        x=d["test"][0][:16].numpy(); rows.append(np.concatenate(list(x),1))
    im=Image.fromarray(np.concatenate(rows,0)); im.resize((im.width*2,im.height*2),0).save('./look.png')
